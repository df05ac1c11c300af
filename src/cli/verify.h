#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "parallel/progress.h"
#include "selfcheck/check_result.h"

namespace toplens {

/// The command line of `verify`, parsed.
struct VerifyArguments {
  std::filesystem::path run;
  std::string model, text;  ///< where they are now; empty: where the run found them
  int documents = 2;        ///< to be rerun
  std::uint64_t seed = 2027;
  int threads = 0;
  std::string memory = "8GiB";
  bool follow_links = false;  ///< of the checkpoint; the run's own word does not count
  bool json = false;
};

/// Checks a run directory of `analyze` against its run.json, its parts, the model and the text; see
/// docs/provenance.md. What is wrong with any of them becomes a finding. `progress` is told of
/// documents that are rerun, in layers, and also called while files are read.
std::vector<CheckResult> verify_run(const VerifyArguments& arguments, ProgressListener& progress);

}  // namespace toplens
