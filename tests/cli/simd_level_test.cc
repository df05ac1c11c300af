// TOPLENS_SIMD as a user sets it. That every kernel is right at every level is tests/kernels'
// matter.

#include <cstdlib>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "support/command.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using testing::CommandResult;
using ::testing::HasSubstr;

CommandResult run_at(const std::string& level, const fs::path& out) {
  setenv("TOPLENS_SIMD", level.c_str(), 1);
  const fs::path model = testing::golden_directory() / "tiny-llama";
  CommandResult result = testing::run_command(
      testing::tool(),
      {"analyze", model.string(), "--tokens", (out.parent_path() / "ids.npy").string(), "--theory",
       "off", "--compute", "f32", "--out", out.string(), "--json"});
  unsetenv("TOPLENS_SIMD");
  return result;
}

TEST(SimdLevel, EveryLevelThatTheErrorListsRunsAndIsRecorded) {
  const testing::ScratchDirectory scratch;
  std::vector<std::int64_t> ids(3 * 40);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int64_t>(7 * i % 90);
  testing::write_npy(scratch.path() / "ids.npy", {3, 40}, ids);
  const CommandResult unknown = run_at("mmx", scratch.path() / "unknown");
  EXPECT_EQ(unknown.exit_code, 1);
  ASSERT_THAT(unknown.err,
              HasSubstr("no SIMD level 'mmx' in this build on this machine; there are "));
  std::string names = unknown.err.substr(unknown.err.find("there are ") + 10);
  names.resize(names.find('\n'));
  std::vector<std::string> levels;
  for (std::size_t begin = 0; begin < names.size();) {
    const std::size_t end = std::min(names.find(", ", begin), names.size());
    levels.push_back(names.substr(begin, end - begin));
    begin = end + 2;
  }
  ASSERT_FALSE(levels.empty());
  std::vector<double> f_scores;
  for (const std::string& level : levels) {
    SCOPED_TRACE(level);
    const fs::path out = scratch.path() / level;
    const CommandResult result = run_at(level, out);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const auto manifest = nlohmann::json::parse(read_text_file(out / "run.json"));
    EXPECT_EQ(manifest["toplens"]["simd"], level);
    const auto summary = nlohmann::json::parse(result.out);
    for (const auto& record : summary["curves"]) {
      if (record["ranking"] == "attention" && record["set_size"] == 4) {
        f_scores.push_back(record["f_score"]);
      }
    }
  }
  for (std::size_t i = 2; i < f_scores.size(); ++i) {
    EXPECT_NEAR(f_scores[i], f_scores[i % 2], 2e-3);  // a head may change a count
  }
}

/// What a row's products are must not depend on where in a block the row stands.
TEST(SimdLevel, BatchesMakeNoDifferenceAtAnyLevelOfTheMatrixProducts) {
  const testing::ScratchDirectory scratch;
  std::vector<std::int64_t> ids(16 * 128);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int64_t>(i * i % 311);
  testing::write_npy(scratch.path() / "ids.npy", {16, 128}, ids);
  for (const char* level : {"SSE41", "AVX2", "AVX512_CORE"}) {
    SCOPED_TRACE(level);
    setenv("ONEDNN_MAX_CPU_ISA", level, 1);
    std::vector<std::string> losses;
    for (const char* lanes : {"1", "9", "32"}) {
      const CommandResult result = testing::run_command(
          testing::tool(),
          {"intervene", (testing::golden_directory() / "tiny-llama3-gqa").string(), "--tokens",
           (scratch.path() / "ids.npy").string(), "--compute", "f32", "--ranking", "attention",
           "--rule", "delete", "--set-sizes", "8", "--lanes", lanes, "--json"});
      EXPECT_EQ(result.exit_code, 0) << result.err;
      losses.push_back(result.out);
    }
    unsetenv("ONEDNN_MAX_CPU_ISA");
    EXPECT_EQ(losses[0], losses[1]);
    EXPECT_EQ(losses[0], losses[2]);
  }
}

}  // namespace
}  // namespace toplens
