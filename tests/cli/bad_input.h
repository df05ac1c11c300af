#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "support/command.h"
#include "support/safetensors_writer.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens::testing {

inline constexpr int kWorkFailed = 1;
inline constexpr int kBadUsage = 2;

/// Each bad input: one line that names the thing, the exit code of its kind, nothing left behind.
class BadInput : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return scratch_ / name; }
  std::string golden(const std::string& name) const { return golden_directory() / name; }
  std::string tokens(const std::string& model) const {
    return golden(model) + "/expected/token_ids.npy";
  }
  /// A copy that a test may damage.
  std::string copy(const std::string& model) const {
    copy_checkpoint(golden(model), scratch_ / "model");
    return path("model");
  }

  /// Runs the tool and checks what every failure has in common; returns its one line.
  std::string failure(std::vector<std::string> arguments, int exit_code) const {
    const CommandResult result = run_command(tool(), arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(lines(result.err).size(), 1u) << result.err;
    EXPECT_THAT(result.err, ::testing::StartsWith("toplens: "));
    EXPECT_THAT(result.err, ::testing::EndsWith("\n"));
    if (!std::filesystem::exists(scratch_ / "out")) return result.err;
    EXPECT_TRUE(std::filesystem::is_empty(scratch_ / "out"));
    return result.err;
  }
  std::string perplexity_failure(const std::string& model, int exit_code = kWorkFailed) const {
    return failure({"perplexity", model, "--tokens", tokens("tiny-llama")}, exit_code);
  }
  /// capture and analyze must not leave anything either.
  std::string failure_of_all(const std::string& model) const {
    const std::string ids = tokens("tiny-llama");
    const std::string message = perplexity_failure(model);
    EXPECT_EQ(failure({"capture", model, "--tokens", ids, "--out", path("out")}, kWorkFailed),
              message);
    EXPECT_EQ(failure({"analyze", model, "--tokens", ids, "--out", path("out")}, kWorkFailed),
              message);
    EXPECT_FALSE(std::filesystem::exists(scratch_ / "out"));
    return message;
  }

  ScratchDirectory scratch_;
};

}  // namespace toplens::testing
