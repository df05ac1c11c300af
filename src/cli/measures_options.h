#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "measures/regime.h"
#include "model/model_config.h"
#include "results/imported_scores.h"

namespace toplens {

/// --measures --compare-with --context-lengths --regime-thresholds --regime-threshold
/// --detector-sequences
/// --detector-tokens: what is recorded of every head beside its geometry.
struct MeasuresArguments {
  std::string measures = "on";
  std::vector<int> context_lengths;
  std::string thresholds_file;
  std::vector<std::string> thresholds;    ///< NAME=VALUE
  std::vector<std::string> compare_with;  ///< head files of other projects
  int detector_sequences = 8;
  int detector_tokens = 25;
  std::filesystem::path directory;  ///< that relative paths of files start from; empty: the current

  void add_to(CLI::App& command);
  /// The table's defaults, then the file, then the single ones. Throws UsageError for unknown names
  /// and impossible values on the command line, Error for those of the file.
  RegimeThresholds regime_thresholds() const;
  /// Throws Error where a file is malformed or its sizes are not the model's.
  std::vector<ImportedScores> imported_scores(const ModelConfig& config) const;
  /// The documents' length, then the shorter ones of --context-lengths, longest first. Throws
  /// UsageError for one that is longer.
  std::vector<int> lengths(int context_length) const;
  /// The longest of --context-lengths, 0 where there is none: the documents' length unless that is
  /// given.
  int longest() const;
};

}  // namespace toplens
