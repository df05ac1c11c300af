#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "support/command.h"
#include "support/scratch_directory.h"

namespace toplens::testing {

/// Builds that take a multiple of the time: their tests do less, and say so.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
#else
inline constexpr bool kSanitized = false;
#endif

/// A run of `analyze` with several parts and all stages, which tests disturb and go on with. Run
/// directories are named alike (the report shows the name) in directories of their own.
class AnalyzedRun {
 public:
  /// A copy of the checkpoint `model`, and `documents` random documents of 40 tokens.
  AnalyzedRun(const std::filesystem::path& model, std::size_t documents);

  const std::filesystem::path& model() const { return model_; }
  /// The run directory of this name, which is not made.
  std::filesystem::path directory(const std::string& name) const;
  std::vector<std::string> command(const std::filesystem::path& directory, bool resume) const;
  CommandResult run(const std::filesystem::path& directory, bool resume) const;
  std::filesystem::path operator/(const std::string& name) const { return scratch_ / name; }

 private:
  ScratchDirectory scratch_;
  std::filesystem::path model_;
};

/// Files of a run directory that are under construction or were left so; relative to it.
std::vector<std::string> temporary_files(const std::filesystem::path& run_directory);

/// Everything in `disturbed` is whole: a file of the same bytes as in the finished run `whole`, a
/// run.json that can be read, or a temporary file. What the run and its report say about times, the
/// command line and the machine may differ. A run that is `complete` has all files of the other.
void expect_whole_files(const std::filesystem::path& disturbed, const std::filesystem::path& whole,
                        bool complete);

}  // namespace toplens::testing
