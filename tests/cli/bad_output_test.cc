// Places where results cannot go.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include "cli/bad_input.h"
#include "io/atomic_file.h"
#include "support/safetensors_file.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::kWorkFailed;
using testing::run_command;
using ::testing::StartsWith;

class BadOutput : public testing::BadInput {};

TEST_F(BadOutput, OutputDirectoryUnderAFile) {
  testing::write_bytes(path("file"), "x");
  const std::string out = path("file") + "/out";
  for (const char* command : {"capture", "analyze"}) {
    std::vector<std::string> arguments = {
        command, golden("tiny-llama"), "--tokens", tokens("tiny-llama"), "--out", out};
    if (command == std::string("analyze")) {
      arguments.insert(arguments.end(), {"--set-sizes", "2", "--documents", "1"});
    }
    EXPECT_THAT(failure(arguments, kWorkFailed), HasSubstr(out));
    EXPECT_EQ(read_text_file(path("file")), "x");
  }
}

TEST_F(BadOutput, OutputDirectoryOfAnotherRunOrOfSomeoneElse) {
  const auto analyze = [&](const std::string& sizes, bool resume) {
    std::vector<std::string> arguments = {"analyze",     golden("tiny-llama"),
                                          "--tokens",    tokens("tiny-llama"),
                                          "--set-sizes", sizes,
                                          "--documents", "1",
                                          "--out",       path("run")};
    if (resume) arguments.emplace_back("--resume");
    return arguments;
  };
  ASSERT_EQ(run_command(testing::tool(), analyze("2", false)).exit_code, 0);
  const std::string csv = read_text_file(path("run") + "/heads.csv");
  for (const bool resume : {false, true}) {
    EXPECT_THAT(failure(analyze("2,3", resume), kWorkFailed),
                AllOf(HasSubstr(path("run")), HasSubstr("another run"), HasSubstr("set_sizes")));
  }
  EXPECT_THAT(failure(analyze("2", false), kWorkFailed), HasSubstr("complete"));
  EXPECT_EQ(read_text_file(path("run") + "/heads.csv"), csv);
  // A complete run resumed is a run with nothing left to do.
  EXPECT_EQ(run_command(testing::tool(), analyze("2", true)).exit_code, 0);
  EXPECT_EQ(read_text_file(path("run") + "/heads.csv"), csv);

  fs::remove_all(path("run"));
  fs::create_directory(path("run"));
  testing::write_bytes(path("run") + "/thesis.tex", "mine");
  EXPECT_THAT(failure(analyze("2", false), kWorkFailed), HasSubstr("thesis.tex"));
  EXPECT_THAT(failure(analyze("2", true), kWorkFailed), HasSubstr("thesis.tex"));
  EXPECT_EQ(read_text_file(path("run") + "/thesis.tex"), "mine");
  fs::remove_all(path("run"));
  EXPECT_THAT(failure(analyze("2", true), kWorkFailed), HasSubstr("nothing to resume"));
  EXPECT_FALSE(fs::exists(path("run")));
}

/// A file system of 64 kB for as long as the object lives.
class SmallDisk {
 public:
  explicit SmallDisk(const fs::path& path) : path_(path) {
    fs::create_directories(path);
    mounted_ = ::mount("tmpfs", path.c_str(), "tmpfs", 0, "size=64k") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }

 private:
  fs::path path_;
  bool mounted_ = false;
};

TEST_F(BadOutput, FullDisk) {
  const SmallDisk disk(scratch_ / "disk");
  if (!disk.mounted()) GTEST_SKIP() << "SKIPPED, a small file system cannot be mounted here";
  const std::string out = path("disk") + "/out";
  EXPECT_THAT(
      failure({"capture", golden("tiny-llama"), "--tokens", tokens("tiny-llama"), "--out", out},
              kWorkFailed),
      AllOf(HasSubstr(".npy"), HasSubstr("No space left")));
  EXPECT_TRUE(!fs::exists(out) || fs::is_empty(out));
  testing::write_bytes(path("disk") + "/ballast", std::string(60000, 'x'));
  const CommandResult result = run_command(
      testing::tool(), {"analyze", golden("tiny-llama"), "--tokens", tokens("tiny-llama"),
                        "--documents", "1", "--set-sizes", "1,2,4,8,16", "--out", out});
  EXPECT_EQ(result.exit_code, kWorkFailed);
  const std::vector<std::string> lines = testing::lines(result.err);
  ASSERT_FALSE(lines.empty());
  EXPECT_THAT(lines.back(), AllOf(StartsWith("toplens: "), HasSubstr(out)));
  EXPECT_FALSE(fs::exists(out + "/geometry.nc"));
  EXPECT_FALSE(fs::exists(out + "/heads.csv"));
}

TEST_F(BadOutput, StandardOutputThatIsFull) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "SKIPPED, no /dev/full here";
  const CommandResult result =
      run_command("/bin/sh", {"-c", "exec \"$0\" \"$@\" > /dev/full", testing::tool(), "inspect",
                              golden("tiny-llama"), "--json"});
  EXPECT_EQ(result.exit_code, kWorkFailed);
  EXPECT_THAT(result.err, AllOf(StartsWith("toplens: "), HasSubstr("standard output")));
  EXPECT_EQ(testing::lines(result.err).size(), 1u);
}

}  // namespace
}  // namespace toplens
