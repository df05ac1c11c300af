#pragma once

#include <string>
#include <vector>

#include "report/figure.h"

namespace toplens {

/// What stands above the figures of a run.
struct RunSummary {
  struct Item {
    std::string label, text;
  };
  std::string title;
  std::vector<Item> items;      ///< model, text, protocol
  std::vector<Item> headlines;  ///< a figure and what it is
  std::vector<std::string> warnings;
};

RunSummary summarise_run(const ReportRun& run);

/// Label and one text for each head: the chosen head's figures in words.
struct HeadFact {
  std::string label;
  std::vector<std::string> texts;
};
std::vector<HeadFact> head_facts(const ReportRun& run);

}  // namespace toplens
