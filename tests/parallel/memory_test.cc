#include "parallel/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "support/error_message.h"

namespace toplens {
namespace {

TEST(Bytes, UnitsAreWhatTheySay) {
  EXPECT_EQ(parse_bytes("0"), 0u);
  EXPECT_EQ(parse_bytes("4096"), 4096u);
  EXPECT_EQ(parse_bytes("17B"), 17u);
  EXPECT_EQ(parse_bytes("512KiB"), 512u * 1024);
  EXPECT_EQ(parse_bytes("3MiB"), 3u << 20);
  EXPECT_EQ(parse_bytes("8GiB"), std::uint64_t{8} << 30);
  EXPECT_EQ(parse_bytes("0.5TiB"), std::uint64_t{512} << 30);
  EXPECT_EQ(parse_bytes("1.5GB"), 1'500'000'000u);
  EXPECT_EQ(parse_bytes("20KB"), 20'000u);
  EXPECT_EQ(parse_bytes("20MB"), 20'000'000u);
  EXPECT_EQ(parse_bytes("2TB"), 2'000'000'000'000u);
}

TEST(Bytes, OtherTextIsAnErrorThatNamesItAndTheForms) {
  for (const char* text : {"", "GiB", "8 GiB", " 8GiB", "8GiB ", "8gib", "eight", "-1", "-1GiB",
                           "1e30", "99999999TiB", "8G", "nan", "inf", "0x10", "8GiBs", "1,5GB"}) {
    const std::string message = testing::error_message([&] { parse_bytes(text); });
    EXPECT_THAT(message, ::testing::HasSubstr(std::string("'").append(text).append("'")));
    EXPECT_THAT(message, ::testing::HasSubstr("8GiB"));
  }
}

TEST(Bytes, FormattedForPeople) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.0 KiB");
  EXPECT_EQ(format_bytes(640 * 1024), "640 KiB");
  EXPECT_EQ(format_bytes(std::uint64_t{16} << 30 | std::uint64_t{1} << 29), "16 GiB");
  EXPECT_EQ(format_bytes((std::uint64_t{32} << 30) / 10), "3.2 GiB");
  EXPECT_EQ(format_bytes(std::uint64_t{5000} << 40), "5000 TiB");
}

TEST(ProcessMemory, SeesWhatThisProcessTouches) {
  const ProcessMemory before = process_memory();
  EXPECT_GT(before.anonymous_bytes, 0u);
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  std::vector<char> touched(kBytes, 'x');
  const ProcessMemory during = process_memory();
  EXPECT_GE(during.anonymous_bytes, before.anonymous_bytes + kBytes / 2);
  touched = std::vector<char>();
  const ProcessMemory after = process_memory();
  EXPECT_GE(after.peak_resident_bytes, during.anonymous_bytes);
  EXPECT_GT(available_memory_bytes(), 0u);
}

}  // namespace
}  // namespace toplens
