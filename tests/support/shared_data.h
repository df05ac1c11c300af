#pragma once

#include <filesystem>
#include <vector>

namespace toplens::testing {

/// Root of the checkout, and the command-line tool of this build.
std::filesystem::path source_directory();
std::filesystem::path tool();

/// The folder with corpora, tokenizers and trained models that are not in the project: the
/// environment variable TOPLENS_SHARED_DATA, else what CMake was told. May not exist: see
/// TOPLENS_NEED_SHARED.
std::filesystem::path shared_directory();

/// The tiny checkpoints with reference outputs, which ship with the tests.
std::filesystem::path golden_directory();
std::vector<std::filesystem::path> golden_models();

/// True where `path` exists. In CI (environment variable CI set) absence is a test failure.
bool have_shared(const std::filesystem::path& path);

}  // namespace toplens::testing

/// Skips the calling test with a visible message where shared data is absent; in CI it fails
/// instead.
#define TOPLENS_NEED_SHARED(path)                                         \
  do {                                                                    \
    if (!::toplens::testing::have_shared(path)) {                         \
      if (std::getenv("CI") != nullptr) {                                 \
        FAIL() << "shared data is required in CI but absent: " << (path); \
      }                                                                   \
      GTEST_SKIP() << "SKIPPED, shared data is absent: " << (path);       \
    }                                                                     \
  } while (false)
