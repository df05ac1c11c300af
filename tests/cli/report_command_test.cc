// The command `report` on runs and on what is none.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/bad_input.h"
#include "io/atomic_file.h"
#include "results/netcdf_file.h"
#include "results/profiles_dataset.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::kBadUsage;
using testing::kWorkFailed;
using testing::run_command;

class ReportCommand : public testing::BadInput {
 protected:
  void analyze(const std::string& theory) const {
    const CommandResult result = run_command(
        testing::tool(), {"analyze", golden("tiny-llama"), "--tokens", tokens("tiny-llama"),
                          "--set-sizes", "1,2,4", "--theory", theory, "--out", path("run")});
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
};

TEST_F(ReportCommand, AnalyzeWritesThePageThatReportWrites) {
  analyze("on");
  const std::string page = read_text_file(path("run") + "/report.html");
  EXPECT_THAT(page, HasSubstr("tiny-llama on token_ids.npy"));
  fs::remove(path("run") + "/report.html");
  const CommandResult result = run_command(testing::tool(), {"report", path("run")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr(path("run") + "/report.html"));
  EXPECT_THAT(result.err, HasSubstr("left out of run: loss against N"));
  EXPECT_EQ(read_text_file(path("run") + "/report.html"), page);
  // Ids without a tokenizer are shown as such.
  const Dataset profiles = read_netcdf(path("run") + "/profiles.nc");
  EXPECT_THAT(profiles.values<std::string>("token_text")[0], ::testing::MatchesRegex("<[0-9]+>"));
}

TEST_F(ReportCommand, ARunWithoutTheTheorySaysWhatIsLeftOut) {
  analyze("off");
  const CommandResult result =
      run_command(testing::tool(), {"report", path("run"), path("run"), "--out", path("two.html")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("norms by position"), HasSubstr("--theory on")));
  EXPECT_TRUE(fs::exists(path("two.html")));
}

TEST_F(ReportCommand, BadRunsAndTargets) {
  EXPECT_THAT(failure({"report", path("none")}, kWorkFailed), HasSubstr(path("none")));
  EXPECT_THAT(failure({"report", golden("tiny-llama")}, kWorkFailed), HasSubstr("no run.json"));
  EXPECT_THAT(failure({"report"}, kBadUsage), HasSubstr("RUN_DIR"));
  analyze("off");
  EXPECT_THAT(
      failure({"report", path("run"), "--out", path("no") + "/such/report.html"}, kWorkFailed),
      HasSubstr(path("no") + "/such"));
  const std::string run = read_text_file(path("run") + "/run.json");
  write_file_atomically(path("run") + "/run.json", "{\"schema_version\": 2}");
  EXPECT_THAT(failure({"report", path("run")}, kWorkFailed), HasSubstr("schema_version 2"));
}

}  // namespace
}  // namespace toplens
