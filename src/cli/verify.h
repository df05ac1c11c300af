#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
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

/// Told which check is being made, and how far it is: pieces of files that are read, layers of
/// documents that are rerun. Other checks only begin.
class VerifyListener : public ProgressListener {
 public:
  virtual void start(std::string_view check) = 0;
};

/// Checks a run directory of `analyze` against its run.json, its parts, the model and the text; see
/// docs/provenance.md. What is wrong with any of them becomes a finding.
std::vector<CheckResult> verify_run(const VerifyArguments& arguments, VerifyListener& listener);

}  // namespace toplens
