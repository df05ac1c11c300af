#include "checkpoint/checkpoint_links.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "support/error_message.h"
#include "support/safetensors_file.h"
#include "support/scratch_directory.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::error_message;
using ::testing::HasSubstr;
using testing::ScratchDirectory;
using testing::write_bytes;

class CheckpointLinks : public ::testing::Test {
 protected:
  CheckpointLinks() : model_(scratch_ / "model") {
    fs::create_directory(model_);
    write_bytes(model_ / "config.json", "{}");
    write_bytes(scratch_ / "secret", "x");
  }
  std::string message(const fs::path& checkpoint) const {
    return error_message([&] { check_links(checkpoint); });
  }

  ScratchDirectory scratch_;
  fs::path model_;
};

TEST_F(CheckpointLinks, InsideTheDirectoryAreFollowed) {
  fs::create_symlink("config.json", model_ / "relative.json");
  fs::create_symlink(model_ / "config.json", model_ / "absolute.json");
  fs::create_symlink("../model/config.json", model_ / "around.json");
  fs::create_directory(model_ / "original");
  write_bytes(model_ / "original" / "params.json", "{}");
  fs::create_symlink("original/params.json", model_ / "params.json");
  EXPECT_NO_THROW(check_links(model_));
  // The directory itself is what the user named, link or not.
  fs::create_directory_symlink(model_, scratch_ / "named");
  EXPECT_NO_THROW(check_links(scratch_ / "named"));
  EXPECT_NO_THROW(check_links(scratch_ / "absent"));
}

TEST_F(CheckpointLinks, OutOfTheDirectoryAreRefusedByName) {
  for (const fs::path& target : {fs::path("../secret"), scratch_ / "secret"}) {
    fs::create_symlink(target, model_ / "model.safetensors");
    EXPECT_THAT(message(model_),
                AllOf(HasSubstr((model_ / "model.safetensors").string()),
                      HasSubstr((scratch_ / "secret").string()), HasSubstr("--follow-links")));
    fs::remove(model_ / "model.safetensors");
  }
  // Through another link, and a directory whose name only begins alike.
  fs::create_symlink("secret", scratch_ / "step");
  fs::create_symlink("../step", model_ / "tokenizer.json");
  EXPECT_THAT(message(model_), HasSubstr("secret"));
  fs::remove(model_ / "tokenizer.json");
  fs::create_directory(scratch_ / "model2");
  write_bytes(scratch_ / "model2" / "config.json", "{}");
  fs::create_symlink("../model2/config.json", model_ / "tokenizer.json");
  EXPECT_THAT(message(model_), HasSubstr("model2"));
}

TEST_F(CheckpointLinks, WhatCannotBeReadThroughIsLeftAlone) {
  fs::create_symlink("nowhere", model_ / "dangling");
  fs::create_symlink("circle", model_ / "circle");
  fs::create_directory_symlink(scratch_.path(), model_ / "directory");
  EXPECT_NO_THROW(check_links(model_));
}

TEST_F(CheckpointLinks, ASnapshotOfAHuggingFaceCacheLeadsToItsBlobs) {
  const fs::path cache = scratch_ / "hub" / "models--maker--name";
  const fs::path snapshot = cache / "snapshots" / "0123abcd",
                 other = scratch_ / "hub" / "models--x";
  fs::create_directories(snapshot);
  fs::create_directories(cache / "blobs");
  fs::create_directories(other / "blobs");
  write_bytes(cache / "blobs" / "aa11", "{}");
  write_bytes(other / "blobs" / "bb22", "{}");
  fs::create_symlink("../../blobs/aa11", snapshot / "config.json");
  EXPECT_NO_THROW(check_links(snapshot));
  fs::create_directory_symlink(snapshot, scratch_ / "short");
  EXPECT_NO_THROW(check_links(scratch_ / "short"));
  fs::create_symlink("../../../models--x/blobs/bb22", snapshot / "model.safetensors");
  EXPECT_THAT(message(snapshot), HasSubstr("bb22"));
  fs::remove(snapshot / "model.safetensors");
  fs::create_symlink("../../../../secret", snapshot / "model.safetensors");
  EXPECT_THAT(message(snapshot), HasSubstr("secret"));
  // blobs of a directory that is no cache are elsewhere.
  const fs::path plain = scratch_ / "plain" / "snapshots" / "1";
  fs::create_directories(plain);
  fs::create_directories(scratch_ / "plain" / "blobs");
  write_bytes(scratch_ / "plain" / "blobs" / "cc33", "{}");
  fs::create_symlink("../../blobs/cc33", plain / "config.json");
  EXPECT_THAT(message(plain), HasSubstr("cc33"));
}

TEST_F(CheckpointLinks, AFifoIsRefusedBeforeSomebodyWaitsForIt) {
  ASSERT_EQ(::mkfifo((model_ / "tokenizer.json").c_str(), 0600), 0);
  EXPECT_THAT(message(model_), AllOf(HasSubstr("tokenizer.json"), HasSubstr("no regular file")));
}

}  // namespace
}  // namespace toplens
