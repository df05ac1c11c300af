// A run that is ended by signals at random moments is finished by --resume, with the same bits.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <iostream>
#include <map>
#include <thread>

#include "base/random.h"
#include "reliability/disturbed_run.h"
#include "results/run_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using ::testing::AllOf;
using testing::AnalyzedRun;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::RunningCommand;

constexpr int kInterrupted = 130;
constexpr int kPoints = testing::kSanitized ? 12 : 50;
constexpr std::size_t kDocuments = 24;  // 3 parts
constexpr std::array<int, 3> kSignals = {SIGKILL, SIGTERM, SIGINT};

/// How far the run at `directory` had come when it was ended.
std::string phase_of(const fs::path& directory) {
  if (!holds_run(directory)) return "before the run directory was there";
  if (read_run_json(directory)["status"] == "complete") {
    return fs::exists(directory / "report.html") ? "at its end" : "before the report";
  }
  std::size_t parts = 0;
  for (const auto& entry : fs::directory_iterator(directory / "parts")) {
    if (entry.path().filename().string().front() != '.') ++parts;
  }
  return parts * 8 < kDocuments ? "between parts" : "while results were written";
}

class KilledRun : public ::testing::Test {
 protected:
  KilledRun() : run_(testing::golden_directory() / "tiny-llama3-gqa", kDocuments) {}

  /// Runs or goes on with the run at `directory` and ends it after `seconds`.
  CommandResult disturb(const fs::path& directory, double seconds, int signal) {
    RunningCommand command(testing::tool(), run_.command(directory, holds_run(directory)));
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    command.signal(signal);
    return command.wait();
  }

  void check_end(const CommandResult& result, int signal, const fs::path& directory) {
    if (result.exit_code == 0) return;  // it had ended before, or had nothing left to be asked
    if (signal == SIGKILL) {
      EXPECT_EQ(result.exit_code, 128 + SIGKILL) << result.err;
      return;
    }
    EXPECT_THAT(testing::temporary_files(directory), ::testing::IsEmpty());
    // In its first milliseconds the program does not listen yet.
    if (result.exit_code == 128 + signal && result.err.empty()) return;
    EXPECT_EQ(result.exit_code, kInterrupted) << result.err;
    EXPECT_THAT(result.err, HasSubstr("toplens: interrupted"));
    if (holds_run(directory)) {
      EXPECT_THAT(result.err, AllOf(HasSubstr(directory.string()), HasSubstr("--resume")));
    } else {
      EXPECT_THAT(result.err, HasSubstr("Nothing was written"));
    }
  }

  AnalyzedRun run_;
};

TEST_F(KilledRun, AtSeededPointsIsFinishedByResumingWithTheSameBits) {
  const fs::path whole = run_.directory("whole");
  const Clock::time_point start = Clock::now();
  const CommandResult reference = run_.run(whole, false);
  double duration = std::chrono::duration<double>(Clock::now() - start).count();
  ASSERT_EQ(reference.exit_code, 0) << reference.err;

  std::map<std::string, int> phases;
  int ended = 0, twice = 0;
  Random random(2027);
  for (int point = 0; point < kPoints && !HasFailure(); ++point) {
    SCOPED_TRACE(point);
    const fs::path directory = run_.directory("killed" + std::to_string(point));
    const bool again = point % 5 == 4;
    for (int kill = 0; kill < (again ? 2 : 1); ++kill) {
      // What remains of a resumed run is shorter.
      const double seconds = random.uniform() * duration * (kill == 0 ? 1.0 : 0.7);
      const int signal = kSignals[static_cast<std::size_t>(point + kill) % kSignals.size()];
      const Clock::time_point begin = Clock::now();
      const CommandResult result = disturb(directory, seconds, signal);
      if (result.exit_code == 0) {  // the machine has become faster
        duration = std::min(duration, std::chrono::duration<double>(Clock::now() - begin).count());
      }
      check_end(result, signal, directory);
      testing::expect_whole_files(directory, whole, false);
      ++phases[result.exit_code == 0 ? "not at all, it was faster" : phase_of(directory)];
      ended += result.exit_code != 0 ? 1 : 0;
      twice += kill == 1 && result.exit_code != 0 ? 1 : 0;
    }
    const CommandResult resumed = run_.run(directory, holds_run(directory));
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    testing::expect_whole_files(directory, whole, true);
    if (!HasFailure()) fs::remove_all(directory.parent_path());
  }
  std::cout << kPoints << (testing::kSanitized ? " of 50 points (sanitizer build)" : " points")
            << " in a run of " << duration << " s; ended " << ended << " runs, of these " << twice
            << " that had been resumed\n";
  for (const auto& [phase, count] : phases) std::cout << "  " << count << " " << phase << '\n';
  EXPECT_GE(ended, kPoints / 2);
}

TEST_F(KilledRun, InsideEveryWriteAndBeforeEveryRename) {
  if (testing::kSanitized) GTEST_SKIP() << "SKIPPED, a sanitizer's runtime must be loaded first";
  const fs::path whole = run_.directory("whole");
  ASSERT_EQ(run_.run(whole, false).exit_code, 0);
  int deaths = 0;
  for (bool finished = false; !finished && !HasFailure(); ++deaths) {
    SCOPED_TRACE(deaths);
    const fs::path directory = run_.directory("died");
    std::vector<std::string> arguments = {std::string("LD_PRELOAD=") + TOPLENS_DIE_IN_WRITE,
                                          "TOPLENS_TEST_DIE_AT=" + std::to_string(deaths + 1),
                                          testing::tool()};
    for (const std::string& argument : run_.command(directory, false)) {
      arguments.push_back(argument);
    }
    const CommandResult died = testing::run_command("/usr/bin/env", arguments);
    finished = died.exit_code == 0;
    if (!finished) {
      EXPECT_EQ(died.exit_code, 128 + SIGKILL) << died.err;
      EXPECT_THAT(testing::temporary_files(directory), ::testing::SizeIs(1));
      testing::expect_whole_files(directory, whole, false);
      const CommandResult resumed = run_.run(directory, true);
      EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    }
    testing::expect_whole_files(directory, whole, true);
    fs::remove_all(directory);
  }
  std::cout << deaths - 1 << " deaths in writes and before renames\n";
  // run.json, 3 parts, geometry.nc, heads.csv, heads.nc, run.json again and the page, at the least.
  EXPECT_GE(deaths, 2 * 9);
}

TEST_F(KilledRun, AtEveryFileThatAppears) {
  const fs::path whole = run_.directory("whole");
  ASSERT_EQ(run_.run(whole, false).exit_code, 0);
  // The moment after each of these is there, which random points hit rarely.
  for (const char* file :
       {"run.json", "parts/part-0002.nc", "geometry.nc", "heads.csv", "heads.nc"}) {
    for (const int signal : kSignals) {
      SCOPED_TRACE(std::string(file) + " " + std::to_string(signal));
      const fs::path directory = run_.directory("appeared");
      RunningCommand command(testing::tool(), run_.command(directory, false));
      while (!fs::exists(directory / file) && !command.ended()) {
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
      command.signal(signal);
      check_end(command.wait(), signal, directory);
      testing::expect_whole_files(directory, whole, false);
      const CommandResult resumed = run_.run(directory, true);
      EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
      testing::expect_whole_files(directory, whole, true);
      fs::remove_all(directory);
    }
  }
}

}  // namespace
}  // namespace toplens
