// Weight files that change while a run reads them.

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "io/atomic_file.h"
#include "reliability/disturbed_run.h"
#include "results/run_directory.h"
#include "support/safetensors_file.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::AnalyzedRun;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::RunningCommand;

constexpr int kWorkFailed = 1;
constexpr const char* kShard = "model-00002-of-00003.safetensors";

/// Copies of a tiny checkpoint in three shards, run over enough documents that there is a middle.
class ChangedShard : public ::testing::Test {
 protected:
  ChangedShard() : run_(testing::golden_directory() / "tiny-llama3-gqa", 64) {
    split(run_.model());
    whole_ = run_.directory("whole");
    const CommandResult reference = run_.run(whole_, false);
    EXPECT_EQ(reference.exit_code, 0) << reference.err;
    EXPECT_TRUE(fs::exists(whole_ / "parts" / "part-0007.nc"));
    bytes_ = read_text_file(run_.model() / kShard);
  }

  /// Waits for the first part, changes the shard, and returns how the run ended.
  template <typename Change>
  CommandResult disturb(const fs::path& directory, const Change& change) {
    RunningCommand command(testing::tool(), run_.command(directory, holds_run(directory)));
    while (!fs::exists(directory / "parts" / "part-0000.nc") && !command.ended()) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    change(run_.model() / kShard);
    return command.wait();
  }

  void expect_failure_and_resume(const fs::path& directory, const CommandResult& failed,
                                 const std::string& words) {
    EXPECT_EQ(failed.exit_code, kWorkFailed) << failed.err;
    EXPECT_THAT(testing::lines(failed.err).back(),
                AllOf(::testing::StartsWith("toplens: "), HasSubstr(kShard), HasSubstr(words),
                      HasSubstr("--resume")));
    EXPECT_THAT(testing::temporary_files(directory), ::testing::IsEmpty());
    testing::expect_whole_files(directory, whole_, false);
    EXPECT_FALSE(fs::exists(directory / "heads.csv"));
    testing::write_bytes(run_.model() / kShard, bytes_);
    const CommandResult resumed = run_.run(directory, true);
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    testing::expect_whole_files(directory, whole_, true);
  }

  AnalyzedRun run_;
  fs::path whole_;
  std::string bytes_;

 private:
  /// model.safetensors of a checkpoint becomes three shards and an index.
  static void split(const fs::path& model) {
    const std::string file = read_text_file(model / "model.safetensors");
    std::uint64_t length = 0;
    for (int i = 7; i >= 0; --i) length = length << 8 | static_cast<unsigned char>(file[i]);
    const nlohmann::json header = nlohmann::json::parse(file.substr(8, length));
    std::vector<std::vector<testing::StoredTensor>> shards(3);
    nlohmann::json shard_of;
    std::size_t next = 0;
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") continue;
      const std::size_t shard = next++ % shards.size();
      const auto begin = entry["data_offsets"][0].get<std::size_t>();
      const auto end = entry["data_offsets"][1].get<std::size_t>();
      shards[shard].push_back(
          {name, entry["dtype"], entry["shape"], file.substr(8 + length + begin, end - begin)});
      shard_of[name] = fmt::format("model-{:05}-of-00003.safetensors", shard + 1);
    }
    for (std::size_t i = 0; i < shards.size(); ++i) {
      testing::write_bytes(model / fmt::format("model-{:05}-of-00003.safetensors", i + 1),
                           testing::safetensors_bytes(shards[i]));
    }
    const nlohmann::json index = {{"weight_map", shard_of}};
    testing::write_bytes(model / "model.safetensors.index.json", index.dump());
    fs::remove(model / "model.safetensors");
  }
};

TEST_F(ChangedShard, TruncatedIsAMessageAndTheRunGoesOnOnceItIsBack) {
  int trial = 0;
  for (const std::uintmax_t size : {std::uintmax_t{0}, std::uintmax_t{4096}, bytes_.size() - 1}) {
    SCOPED_TRACE(size);
    const fs::path directory = run_.directory("truncated" + std::to_string(trial++));
    const CommandResult failed =
        disturb(directory, [&](const fs::path& shard) { fs::resize_file(shard, size); });
    // While it is broken, going on says so and changes nothing.
    const CommandResult again = run_.run(directory, true);
    EXPECT_EQ(again.exit_code, kWorkFailed);
    EXPECT_THAT(again.err, HasSubstr(kShard));
    expect_failure_and_resume(directory, failed, "could not be read to its end");
  }
}

TEST_F(ChangedShard, ReplacedByAnotherFileOrWrittenToIsAMessage) {
  std::string other = bytes_;
  std::fill(other.end() - 64, other.end(), '\0');
  const fs::path replaced = run_.directory("replaced"), written = run_.directory("written");
  const CommandResult by_rename = disturb(replaced, [&](const fs::path& shard) {
    testing::write_bytes(run_.model() / "new", other);
    fs::rename(run_.model() / "new", shard);
  });
  // Other weights are another run.
  const CommandResult of_another = run_.run(replaced, true);
  EXPECT_EQ(of_another.exit_code, kWorkFailed);
  EXPECT_THAT(of_another.err, HasSubstr("weights_sample_sha256"));
  expect_failure_and_resume(replaced, by_rename, "was replaced or written to");
  // Without truncating first, so that the file never has fewer bytes.
  const CommandResult in_place = disturb(written, [&](const fs::path& shard) {
    std::fstream(shard, std::ios::in | std::ios::out | std::ios::binary) << other;
  });
  expect_failure_and_resume(written, in_place, "was replaced or written to");
}

}  // namespace
}  // namespace toplens
