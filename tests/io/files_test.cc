#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "io/atomic_file.h"
#include "io/mapped_file.h"
#include "io/temporary_file.h"
#include "support/error_message.h"
#include "support/safetensors_file.h"
#include "support/scratch_directory.h"

namespace toplens {
namespace {

using ::testing::AllOf;
using testing::error_message;
using ::testing::HasSubstr;
using testing::ScratchDirectory;
using testing::write_bytes;

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST(MappedFile, ShowsTheBytesAndSurvivesMoves) {
  const ScratchDirectory directory;
  write_bytes(directory / "a", "first");
  write_bytes(directory / "b", "");
  std::vector<MappedFile> files;
  files.emplace_back(directory / "a");
  files.emplace_back(directory / "b");
  files.emplace_back(directory / "a");
  EXPECT_EQ(text_of(files[0]), "first");
  EXPECT_TRUE(files[1].bytes().empty());
  files[1] = std::move(files[2]);
  EXPECT_EQ(text_of(files[1]), "first");
  EXPECT_EQ(files[1].path(), directory / "a");
}

TEST(MappedFile, WhatIsNoRegularFileIsAnError) {
  const ScratchDirectory directory;
  EXPECT_THAT(error_message([&] { MappedFile file(directory / "absent"); }),
              AllOf(HasSubstr("absent"), HasSubstr("No such file")));
  EXPECT_THAT(error_message([&] { MappedFile file(directory.path()); }),
              AllOf(HasSubstr(directory.path().string()), HasSubstr("is a directory")));
  ASSERT_EQ(mkfifo((directory / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_message([&] { MappedFile file(directory / "pipe"); }),
              HasSubstr("no regular file"));
}

TEST(AtomicFile, ReplacesTheFileAndLeavesNothingElse) {
  const ScratchDirectory directory;
  const auto path = directory / "run.json";
  write_file_atomically(path, "old");
  write_file_atomically(path, std::string("new\0text", 8));
  EXPECT_EQ(read_text_file(path), std::string("new\0text", 8));
  write_file_atomically(path, [&](const std::filesystem::path& temporary) {
    EXPECT_EQ(temporary.parent_path(), directory.path());
    std::ofstream(temporary) << "from a library";
  });
  EXPECT_EQ(read_text_file(path), "from a library");
  std::filesystem::remove(path);
  EXPECT_TRUE(directory.empty());
}

TEST(AtomicFile, AFailingWriterLeavesTheOldFile) {
  const ScratchDirectory directory;
  const auto path = directory / "profiles.nc";
  write_file_atomically(path, "old");
  EXPECT_THROW(write_file_atomically(path,
                                     [](const std::filesystem::path& temporary) {
                                       std::ofstream(temporary) << "half";
                                       throw Error("the disk is full");
                                     }),
               Error);
  EXPECT_EQ(read_text_file(path), "old");
  std::filesystem::remove(path);
  EXPECT_TRUE(directory.empty());
}

TEST(AtomicFile, ErrorsNameThePathAndTheReason) {
  const ScratchDirectory directory;
  const auto message = [](const std::filesystem::path& path) {
    return error_message([&] { write_file_atomically(path, "text"); });
  };
  EXPECT_THAT(message(directory / "absent/x.csv"),
              AllOf(HasSubstr("absent/x.csv"), HasSubstr("No such file or directory")));
  EXPECT_THAT(message(directory.path()), HasSubstr("Is a directory"));
  write_bytes(directory / "file", "");
  EXPECT_THAT(message(directory / "file/x.csv"), HasSubstr("Not a directory"));
  EXPECT_THAT(error_message([&] { read_text_file(directory.path()); }),
              AllOf(HasSubstr(directory.path().string()), HasSubstr("Is a directory")));
  EXPECT_THAT(error_message([&] { read_text_file(directory / "absent"); }),
              HasSubstr("No such file"));
}

TEST(AtomicFile, NestedWritersOfOneNameDoNotMeet) {
  const ScratchDirectory directory;
  const auto path = directory / "x";
  write_file_atomically(path, [&](const std::filesystem::path& outer) {
    std::ofstream(outer) << "outer";
    write_file_atomically(path, "inner");
    EXPECT_EQ(read_text_file(path), "inner");
  });
  EXPECT_EQ(read_text_file(path), "outer");
}

TEST(AtomicFile, LargerThanTheLimitIsRefused) {
  const ScratchDirectory directory;
  write_bytes(directory / "text", "12345");
  EXPECT_EQ(read_text_file(directory / "text", 5), "12345");
  EXPECT_THAT(error_message([&] { read_text_file(directory / "text", 4); }),
              AllOf(HasSubstr("text"), HasSubstr("more than 4 bytes")));
  // What has no size of its own is counted while it is read.
  EXPECT_THAT(error_message([&] { read_text_file("/dev/zero", 100'000); }),
              AllOf(HasSubstr("/dev/zero"), HasSubstr("more than 100000 bytes")));
}

TEST(TemporaryFile, WhatAKilledProcessLeftIsRemovedAndNothingElse) {
  const ScratchDirectory directory;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    TemporaryFile left(directory / "weights");
    left.write(0, "half", 4);
    ::_exit(0);  // no destructor runs
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  const auto abandoned = directory / fmt::format(".weights.{}-0.tmp", child);
  ASSERT_TRUE(std::filesystem::exists(abandoned));
  const TemporaryFile own(directory / "weights");
  const auto of_another = directory / fmt::format(".other.weights.{}-0.tmp", child);
  const auto of_longer_name = directory / fmt::format(".weights.index.{}-0.tmp", child);
  write_bytes(of_another, "");
  write_bytes(of_longer_name, "");
  write_bytes(directory / ".weights.tmp", "");
  EXPECT_TRUE(is_abandoned(abandoned));
  EXPECT_FALSE(is_abandoned(own.path()));
  EXPECT_FALSE(is_abandoned(directory / ".weights.tmp"));
  remove_abandoned(directory / "weights");
  EXPECT_FALSE(std::filesystem::exists(abandoned));
  for (const auto& kept : {own.path(), of_another, of_longer_name, directory / ".weights.tmp"}) {
    EXPECT_TRUE(std::filesystem::exists(kept)) << kept;
  }
  remove_abandoned(directory / "absent" / "weights");
}

}  // namespace
}  // namespace toplens
