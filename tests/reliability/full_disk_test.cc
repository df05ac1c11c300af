// A disk, or a limit on file sizes, that is reached in the middle of the work.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <set>

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
using testing::run_command;

constexpr int kWorkFailed = 1;
constexpr std::uintmax_t kBlock = 4096;

std::uintmax_t bytes_of(const fs::path& directory) {
  std::uintmax_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) bytes += (entry.file_size() / kBlock + 1) * kBlock;
  }
  return bytes;
}

/// A file system of its own for as long as the object lives.
class SmallDisk {
 public:
  SmallDisk(const fs::path& path, std::uintmax_t bytes) : path_(path) {
    fs::create_directories(path);
    mounted_ =
        ::mount("tmpfs", path.c_str(), "tmpfs", 0, ("size=" + std::to_string(bytes)).c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }
  const fs::path& path() const { return path_; }
  /// Leaves so much room and no more.
  void fill_up_to(std::uintmax_t free_bytes) const {
    const std::uintmax_t free = fs::space(path_).available;
    const std::uintmax_t ballast = free > free_bytes ? free - free_bytes : 0;
    testing::write_bytes(path_ / "ballast", std::string(ballast, 'x'));
  }
  void clear() const {
    for (const auto& entry : fs::directory_iterator(path_)) fs::remove_all(entry.path());
  }

 private:
  fs::path path_;
  bool mounted_ = false;
};

/// The tool under a limit on the size of the files it writes.
CommandResult run_limited(std::uintmax_t file_bytes, std::vector<std::string> arguments) {
  std::vector<std::string> shell = {"-c", "ulimit -f \"$1\" && shift && exec \"$@\"", "sh",
                                    std::to_string(file_bytes / 1024), testing::tool()};
  shell.insert(shell.end(), arguments.begin(), arguments.end());
  return run_command("/bin/bash", shell);
}

class FullDisk : public ::testing::Test {
 protected:
  FullDisk() : run_(testing::golden_directory() / "tiny-llama3-gqa", 24) {}

  fs::path finished() {
    const fs::path whole = run_.directory("whole");
    EXPECT_EQ(run_.run(whole, false).exit_code, 0);
    return whole;
  }
  /// What every failure for want of space has in common.
  static void expect_failure(const CommandResult& result, const std::string& reason) {
    EXPECT_EQ(result.exit_code, kWorkFailed) << result.err;
    const std::vector<std::string> lines = testing::lines(result.err);
    ASSERT_FALSE(lines.empty());
    EXPECT_THAT(lines.back(), AllOf(::testing::StartsWith("toplens: "), HasSubstr(reason)));
    EXPECT_EQ(result.out, "");
  }
  /// The failed run at `directory` has no half-written file, and once there is room it is finished.
  void expect_resumable(const fs::path& directory, const fs::path& whole,
                        const CommandResult& failed) {
    EXPECT_THAT(testing::temporary_files(directory), ::testing::IsEmpty());
    testing::expect_whole_files(directory, whole, false);
    if (fs::exists(directory / "parts" / "part-0000.nc")) {
      EXPECT_THAT(failed.err, HasSubstr("go on with the same command and --resume"));
    }
  }

  AnalyzedRun run_;
};

TEST_F(FullDisk, AnalyzeAtEveryFillLevelIsFinishedByResuming) {
  const fs::path whole = finished();
  const std::uintmax_t needed = bytes_of(whole);
  const SmallDisk disk(run_ / "disk", 2 * needed);
  if (!disk.mounted()) GTEST_SKIP() << "SKIPPED, a small file system cannot be mounted here";
  const fs::path directory = disk.path() / "run";
  std::set<std::string> named;
  int failures = 0;
  constexpr int kLevels = testing::kSanitized ? 6 : 20;
  for (int level = 0; level < kLevels && !HasFailure(); ++level) {
    SCOPED_TRACE(level);
    disk.fill_up_to(needed * static_cast<std::uintmax_t>(level) / kLevels / kBlock * kBlock);
    const CommandResult failed = run_.run(directory, false);
    ++failures;
    expect_failure(failed, "No space left on device (free space there");
    expect_resumable(directory, whole, failed);
    const std::string line = testing::lines(failed.err).back();
    named.insert(line.substr(0, line.find(": ", 9)));
    // Once more without room: what is there stays.
    const bool begun = holds_run(directory);
    expect_failure(run_.run(directory, begun), "No space left");
    testing::expect_whole_files(directory, whole, false);
    fs::remove(disk.path() / "ballast");
    const CommandResult resumed = run_.run(directory, holds_run(directory));
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    testing::expect_whole_files(directory, whole, true);
    disk.clear();
  }
  std::cout << failures << " fill levels below " << needed << " bytes; " << named.size()
            << " different files could not be written\n";
  EXPECT_GE(named.size(), testing::kSanitized ? 3u : 5u);
}

TEST_F(FullDisk, AnalyzeAtALimitOnFileSizesIsFinishedByResuming) {
  const fs::path whole = finished();
  std::uintmax_t largest = 0;
  for (const auto& entry : fs::recursive_directory_iterator(whole)) {
    if (entry.is_regular_file()) largest = std::max(largest, entry.file_size());
  }
  int level = 0;
  for (const std::uintmax_t limit : {std::uintmax_t{1024}, std::uintmax_t{64} << 10,
                                     std::uintmax_t{300} << 10, largest - 2048}) {
    SCOPED_TRACE(limit);
    const fs::path directory = run_.directory("limited" + std::to_string(level++));
    const CommandResult failed = run_limited(limit, run_.command(directory, false));
    expect_failure(failed, "File too large (raise the limit on file sizes, ulimit -f");
    expect_resumable(directory, whole, failed);
    const CommandResult resumed = run_.run(directory, holds_run(directory));
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    testing::expect_whole_files(directory, whole, true);
  }
}

TEST_F(FullDisk, OtherCommandsLeaveNothingHalfWritten) {
  const fs::path whole = finished();
  const std::string ids = run_ / "one.npy";
  testing::write_npy_int32(ids, {1, 40}, std::vector<std::int32_t>(40, 7));
  const fs::path out = run_ / "out";
  const std::string model = run_.model();
  struct Case {
    std::string name;
    std::uintmax_t limit;
    std::vector<std::string> arguments;
  };
  const std::vector<Case> cases = {
      {"generate",
       64 << 10,
       {"generate", "llama-2-7b", "--layers", "1", "--hidden-size", "64", "--intermediate-size",
        "128", "--query-heads", "2", "--kv-heads", "2", "--vocab-size", "512", "--shard-size",
        "40KB", "--out", out}},
      {"capture", 8 << 10, {"capture", model, "--tokens", ids, "--out", out}},
      {"intervene",
       2 << 10,
       {"intervene", model, "--tokens", ids, "--ranking", "attention", "--rule", "renormalize",
        "--set-sizes", "1,2,4", "--out", out}},
      {"report", 64 << 10, {"report", whole, "--out", out}},
  };
  for (const Case& test : cases) {
    SCOPED_TRACE(test.name);
    const CommandResult failed = run_limited(test.limit, test.arguments);
    expect_failure(failed, "File too large");
    EXPECT_THAT(failed.err, HasSubstr(out.string()));
    if (fs::exists(out)) {
      for (const auto& entry : fs::recursive_directory_iterator(out)) {
        EXPECT_EQ(entry.path().extension(), ".json") << entry.path() << " is left";
      }
      EXPECT_THAT(testing::temporary_files(out), ::testing::IsEmpty());
    }
    EXPECT_THAT(testing::temporary_files(out.parent_path()), ::testing::IsEmpty());
    // With room the same command works in the same place.
    const CommandResult again = run_command(testing::tool(), test.arguments);
    EXPECT_EQ(again.exit_code, 0) << again.err;
    fs::remove_all(out);
  }
}

}  // namespace
}  // namespace toplens
