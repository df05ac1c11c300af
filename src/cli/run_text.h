#pragma once

#include <string>
#include <vector>

#include "cli/analyze.h"
#include "cli/options.h"
#include "results/run_manifest.h"

namespace toplens {

/// The windows of a run and how they are recorded.
struct RunText {
  LoadedText loaded;
  std::vector<TokenWindow> windows;
  TextRecord record;
  std::vector<std::string> labels;  ///< of the document dimension
};

/// Reads the text and takes the windows, spread evenly over it. Throws Error where it has none.
RunText choose_windows(const AnalyzeArguments& arguments, const CheckpointModel& model,
                       AnalyzeListener& listener);

}  // namespace toplens
