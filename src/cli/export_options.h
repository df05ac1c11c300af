#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "interchange/budget_export.h"

namespace toplens {

/// --export --sink-size --recent-size: of a command that ends with a budget.
struct ExportArguments {
  std::vector<std::string> formats;
  DuoAttentionCache duo_attention;

  void add_to(CLI::App& command);
  /// Throws UsageError listing the valid names, also where one is given twice; none if --export is
  /// not given. To be called before the work.
  std::vector<HeadFileFormat> parse() const;
  /// Writes the files into `directory` and says so, a line each: "duo-attention: DIR/...".
  std::string write(const HeadBudget& budget, const std::filesystem::path& directory,
                    HeadAggregation aggregation) const;
};

}  // namespace toplens
