#include "io/mapping_guard.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "io/mapped_file.h"
#include "support/error_message.h"
#include "support/scratch_directory.h"

namespace toplens {
namespace {

using testing::ScratchDirectory;

// The compiler must not know what is read, nor leave the reading out.
int byte_at(const MappedFile& file, std::size_t offset) {
  const volatile std::byte* bytes = file.bytes().data();
  return std::to_integer<int>(bytes[offset]);
}

TEST(MappingGuard, ShrunkFileReadsAsZerosAndIsReported) {
  const ScratchDirectory scratch;
  const std::filesystem::path path = scratch.path() / "weights";
  std::ofstream(path) << std::string(20000, 'x');
  const MappedFile file(path);
  EXPECT_NO_THROW(file.check_intact());
  std::filesystem::resize_file(path, 4096);
  EXPECT_EQ(byte_at(file, 100), 'x');
  EXPECT_EQ(byte_at(file, 16000), 0);
  const std::string message = testing::error_message([&] { file.check_intact(); });
  EXPECT_NE(message.find(path.string()), std::string::npos) << message;
  EXPECT_NE(message.find("20000"), std::string::npos) << message;
}

TEST(MappingGuard, MovesWithTheFileAndLeavesOthersAlone) {
  const ScratchDirectory scratch;
  const std::filesystem::path shrunk = scratch.path() / "shrunk", whole = scratch.path() / "whole";
  std::ofstream(shrunk) << std::string(20000, 'x');
  std::ofstream(whole) << std::string(20000, 'y');
  MappedFile first(shrunk);
  const MappedFile other(whole);
  const MappedFile moved(std::move(first));
  std::filesystem::resize_file(shrunk, 0);
  EXPECT_EQ(byte_at(moved, 0), 0);
  EXPECT_FALSE(testing::error_message([&] { moved.check_intact(); }).empty());
  EXPECT_NO_THROW(other.check_intact());
  // Long enough ago that the page of the shrunk file could be in the slot of this one.
  const MappedFile later(whole);
  EXPECT_NO_THROW(later.check_intact());
  EXPECT_EQ(byte_at(later, 19999), 'y');
}

}  // namespace
}  // namespace toplens
