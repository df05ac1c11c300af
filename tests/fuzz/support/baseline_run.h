#pragma once

#include <filesystem>
#include <string_view>

#include "model/model_config.h"
#include "results/run_comparison.h"
#include "results/run_manifest.h"

namespace toplens::testing {

/// A complete run directory of every file that a command reads back, small, with made-up figures:
/// what a fuzz target changes one file of. It is in memory where the system has a place for that,
/// and gone when the process ends as it should.
class BaselineRun {
 public:
  /// Ends the process where a reader refuses the run: a target that never comes past the first
  /// check would find nothing.
  static const BaselineRun& get();

  const std::filesystem::path& directory() const { return directory_; }
  const ModelConfig& config() const { return manifest_.model.config; }
  /// Of the model, as a budget file repeats them, and of interventions.json.
  nlohmann::ordered_json digests() const { return digests_json(manifest_.model.digests); }
  const nlohmann::ordered_json& intervention_settings() const { return intervention_settings_; }
  /// The run as `compare` reads it.
  const ComparedRun& compared() const { return compared_; }

  /// Puts `contents` in the place of a file, or the file's own back.
  void replace(std::string_view file, std::string_view contents) const;
  void restore(std::string_view file) const;

 private:
  BaselineRun();
  void write_parts();
  void write_results();
  void write_interventions();

  std::filesystem::path directory_;
  RunManifest manifest_;
  nlohmann::ordered_json intervention_settings_;
  ComparedRun compared_;
};

// What the commands do with a run directory, up to their output: each throws Error where it refuses
// the directory.
void report(const BaselineRun& run);
void compare(const BaselineRun& run);
void recompute_theory(const BaselineRun& run);
void pool_measures(const BaselineRun& run);
void read_budget(const BaselineRun& run);
void read_interventions(const BaselineRun& run);

}  // namespace toplens::testing
