#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "results/intervention_results.h"

namespace toplens {

/// What interventions.nc holds of one evaluation.
struct StoredEvaluation {
  std::optional<SizedIntervention> treatment;  ///< none: the untreated model
  std::vector<double> losses;                  ///< of each document
  std::uint64_t rows_without_mass = 0;
};

/// What a run of `intervene` or `budget` in `directory` evaluated at this context length. Throws
/// Error where its settings are not these, or a file is absent or damaged.
std::vector<StoredEvaluation> read_evaluations(const std::filesystem::path& directory,
                                               const nlohmann::ordered_json& settings,
                                               int context_length);
/// Gives the experiment what a run of `intervene` or `budget` in `directory` evaluated at this
/// context length. Throws Error where its settings are not these, or a file is absent or damaged.
void restore_evaluations(const std::filesystem::path& directory,
                         const nlohmann::ordered_json& settings, int context_length,
                         Experiment& experiment);

/// What `intervene` leaves in a directory: interventions.json (settings and status),
/// interventions.nc, interventions.csv and, where N* was searched, needed_sizes.csv. The directory
/// may be a run directory of `analyze` for the same model. Every file appears whole or not at all.
class InterventionFiles {
 public:
  /// `settings` is what decides the numbers: model and text digests, protocol, seed, arithmetic.
  /// Throws Error where the directory cannot be written, holds such files already (with `resume`:
  /// those of other settings, or none), or a run of another model.
  InterventionFiles(const std::filesystem::path& directory, nlohmann::ordered_json settings,
                    std::vector<std::string> command_line, bool resume);

  /// Gives the experiment what an interrupted run evaluated at this length. Throws Error where the
  /// file is damaged.
  void restore(int context_length, Experiment& experiment) const;

  /// What has been evaluated so far, for a resumed run.
  void save(const InterventionResults& results);
  /// The finished results.
  void finish(const InterventionResults& results);
  /// Whether there is something for a resumed run to go on with.
  bool keeps_evaluations() const { return saved_ || resumed_; }
  /// Takes back what the constructor made, if nothing has been saved.
  void discard_unstarted();

 private:
  void write_status(std::string_view status);

  std::filesystem::path directory_;
  nlohmann::ordered_json settings_;
  std::vector<std::string> command_line_;
  std::string started_;
  bool made_directory_ = false;
  bool resumed_ = false;
  bool saved_ = false;
};

}  // namespace toplens
