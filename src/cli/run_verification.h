#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/analysis_setup.h"
#include "cli/verify.h"
#include "results/run_directory.h"
#include "results/run_record.h"
#include "selfcheck/check_result.h"

namespace toplens {

/// Notes of `analyze` are not repeated.
class QuietListener : public AnalyzeListener {
 public:
  explicit QuietListener(ProgressListener& progress) : progress_(progress) {}
  void note(const std::string& /*line*/) override {}
  void start(std::uint64_t /*units*/, double /*tokens_per_unit*/) override {}
  void finish_part(std::uint64_t /*units*/) override {}
  void advance(std::uint64_t done, std::uint64_t total) override { progress_.advance(done, total); }

 private:
  ProgressListener& progress_;
};

/// The checks of `verify`, one after the other; a later one may use what an earlier one read.
class RunVerification {
 public:
  RunVerification(const VerifyArguments& arguments, VerifyListener& listener)
      : arguments_(arguments), progress_(listener), listener_(listener) {}

  std::vector<CheckResult> run();

 private:
  struct Check {
    std::string_view name, asks;
    Finding (RunVerification::*judge)();
  };
  static const std::array<Check, 10> kChecks;

  Finding check_record();
  Finding check_files();
  Finding check_other_files();
  Finding check_parts();
  Finding check_environment();
  Finding check_model();
  Finding check_text();
  Finding check_protocol();
  Finding check_tables();
  Finding check_rerun();

  /// Where a file of the run is now.
  std::filesystem::path find(const std::string& given, const std::string& recorded) const;
  void set_up(const std::filesystem::path& model, const std::filesystem::path& text);
  /// Skipped with its reason, where results cannot be made anew.
  std::optional<Finding> missing_for_results() const;
  /// How the process that computed this differs from this one, in words.
  std::string environment_difference(const nlohmann::ordered_json& recorded) const;
  /// To be called so often, while files are read.
  std::function<void()> step_of(std::uint64_t steps) {
    return [this, steps, done = std::uint64_t{0}]() mutable {
      progress_.advance(std::min(++done, steps), steps);
    };
  }

  const VerifyArguments& arguments_;
  VerifyListener& progress_;
  QuietListener listener_;
  std::optional<RunRecord> record_;
  std::optional<FileDifferences> files_;
  std::optional<PartsReader> parts_;
  AnalyzeArguments analysis_;
  std::unique_ptr<AnalysisSetup> setup_;
  std::string setup_error_;
  nlohmann::ordered_json settings_;  // of setup_
  std::vector<CheckResult> results_;
};

/// The first sentences of a list, and how many more there are.
std::string first_of(const std::vector<std::string>& sentences, std::size_t most = 3);
/// A command line as a shell reads it.
std::string command_text(const std::vector<std::string>& words);

}  // namespace toplens
