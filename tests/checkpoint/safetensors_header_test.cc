#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "checkpoint/safetensors_index.h"
#include "checkpoint/tensor_store.h"
#include "support/error_message.h"
#include "support/safetensors_file.h"

namespace toplens {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_message;
using ::testing::HasSubstr;
using testing::safetensors_bytes;

SafetensorsHeader parse(const std::string& file) {
  return parse_safetensors_header(std::as_bytes(std::span(file.data(), file.size())),
                                  "m.safetensors");
}

std::string message_of(const std::string& header, std::size_t data_bytes) {
  const std::string message =
      error_message([&] { parse(safetensors_bytes(header, std::string(data_bytes, '\0'))); });
  EXPECT_THAT(message, HasSubstr("m.safetensors"));
  return message;
}

std::string entry(const std::string& name, const std::string& shape, const std::string& offsets,
                  const std::string& dtype = "F32") {
  return '"' + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
         offsets + "}";
}

TEST(SafetensorsHeader, ListsTensorsByOffset) {
  const std::string header = "{" + entry("b", "[2,1]", "[4,12]") + "," + entry("a", "[]", "[0,4]") +
                             "," + entry("empty", "[3,0]", "[12,12]") +
                             R"(,"__metadata__":{"format":"pt"}}    )";
  const SafetensorsHeader parsed = parse(safetensors_bytes(header, std::string(12, '\0')));
  ASSERT_EQ(parsed.entries.size(), 3u);
  EXPECT_EQ(parsed.entries[0].name, "a");
  EXPECT_EQ(parsed.entries[1].name, "b");
  EXPECT_THAT(parsed.entries[1].shape, ElementsAre(2, 1));
  EXPECT_EQ(parsed.entries[1].begin, 4u);
  EXPECT_EQ(parsed.data_offset, 8 + header.size());
}

TEST(SafetensorsHeader, LengthMustLieWithinTheFile) {
  EXPECT_THAT(error_message([] { parse("abc"); }), HasSubstr("3 bytes, too short"));
  const std::string file = safetensors_bytes("{}", "");
  EXPECT_THAT(error_message([&] { parse(file.substr(0, 9)); }),
              AllOf(HasSubstr("2 bytes"), HasSubstr("only 1 follow")));
  // No more than what follows it: the 8 bytes of the length itself do not count.
  const std::string length("\x09\0\0\0\0\0\0\0", 8);
  EXPECT_THAT(error_message([&] { parse(length + "{}"); }),
              AllOf(HasSubstr("9 bytes"), HasSubstr("only 2 follow")));
  EXPECT_THAT(error_message([] { parse(std::string(8, '\xff') + "{}"); }),
              HasSubstr("18446744073709551615 bytes"));
}

TEST(SafetensorsHeader, HeaderOfMoreThan100MegabytesIsRefused) {
  const std::string header(100'000'001, ' ');
  EXPECT_THAT(error_message([&] { parse(safetensors_bytes(header, "")); }),
              HasSubstr("limit is 100000000"));
}

TEST(SafetensorsHeader, OffsetsMustCoverTheDataExactly) {
  EXPECT_THAT(message_of("{" + entry("w", "[2]", "[0,8]") + "}", 4),
              AllOf(HasSubstr("'w'"), HasSubstr("beyond the 4 bytes")));
  EXPECT_THAT(message_of("{" + entry("w", "[2]", "[8,0]") + "}", 8), HasSubstr("not in order"));
  EXPECT_THAT(message_of("{" + entry("w", "[2]", "[4,12]") + "}", 12),
              AllOf(HasSubstr("'w'"), HasSubstr("hole after byte 0")));
  EXPECT_THAT(
      message_of("{" + entry("v", "[2]", "[0,8]") + "," + entry("w", "[2]", "[4,12]") + "}", 12),
      AllOf(HasSubstr("'w'"), HasSubstr("overlaps 'v'")));
  EXPECT_THAT(message_of(fmt::format("{{{},{}}}", entry("v", "[2]", "[0,2]", "U8"),
                                     entry("w", "[2]", "[1,3]", "U8")),
                         3),
              AllOf(HasSubstr("'w'"), HasSubstr("overlaps 'v'")));
  EXPECT_THAT(
      message_of("{" + entry("v", "[1]", "[0,4]") + "," + entry("w", "[1]", "[8,12]") + "}", 12),
      AllOf(HasSubstr("'w'"), HasSubstr("hole after byte 4")));
  EXPECT_THAT(message_of("{" + entry("w", "[1]", "[0,4]") + "}", 7), HasSubstr("3 bytes follow"));
}

TEST(SafetensorsHeader, ExtentMustFitShapeAndDtype) {
  EXPECT_THAT(
      message_of("{" + entry("w", "[2,3]", "[0,12]") + "}", 12),
      AllOf(HasSubstr("'w'"), HasSubstr("12 bytes"), HasSubstr("[2, 3]"), HasSubstr("needs 24")));
  EXPECT_NO_THROW(parse(
      safetensors_bytes("{" + entry("w", "[2,3]", "[0,12]", "BF16") + "}", std::string(12, '\0'))));
  EXPECT_THAT(message_of("{" + entry("w", "[4294967296,4294967296]", "[0,0]") + "}", 0),
              AllOf(HasSubstr("'w'"), HasSubstr("overflows")));
}

TEST(SafetensorsHeader, EveryDtypeHasItsSize) {
  const std::vector<std::pair<const char*, std::size_t>> sizes = {
      {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"I32", 4}, {"I16", 2},
      {"I8", 1},  {"U64", 8}, {"U32", 4}, {"U16", 2},  {"U8", 1},  {"BOOL", 1}};
  for (const auto& [dtype, size] : sizes) {
    for (const std::size_t bytes : {3 * size - 1, 3 * size, 3 * size + 1}) {
      const std::string header =
          fmt::format("{{{}}}", entry("w", "[3]", fmt::format("[0,{}]", bytes), dtype));
      const std::string file = safetensors_bytes(header, std::string(bytes, '\0'));
      if (bytes == 3 * size) {
        EXPECT_NO_THROW(parse(file)) << dtype;
      } else {
        EXPECT_THAT(error_message([&] { parse(file); }), HasSubstr("needs")) << dtype;
      }
    }
  }
}

TEST(SafetensorsHeader, MalformedEntriesNameTheTensor) {
  EXPECT_THAT(message_of("[1]", 0), HasSubstr("a list, expected an object"));
  EXPECT_THAT(message_of("{\"w\":1}", 0), AllOf(HasSubstr("'w'"), HasSubstr("is 1")));
  EXPECT_THAT(message_of(R"({"w":{"dtype":"F32","shape":[]}})", 0),
              AllOf(HasSubstr("'w'"), HasSubstr("data_offsets is missing")));
  EXPECT_THAT(message_of("{" + entry("w", "[-1]", "[0,4]") + "}", 4),
              AllOf(HasSubstr("'w'"), HasSubstr("-1")));
  EXPECT_THAT(message_of("{" + entry("w", "[1.5]", "[0,4]") + "}", 4), HasSubstr("1.5"));
  EXPECT_THAT(message_of("{" + entry("w", "[1]", "[0,4,8]") + "}", 4), HasSubstr("3 numbers"));
  EXPECT_THAT(message_of("{" + entry("w", "[1]", "[0,18446744073709551616]") + "}", 4),
              HasSubstr("1.8446744073709552e+19"));
  EXPECT_THAT(
      message_of("{" + entry("w", "[1]", "[0,4]") + "," + entry("w", "[1]", "[0,4]") + "}", 4),
      HasSubstr("'w' occurs twice"));
  EXPECT_THAT(message_of("{\"w\":", 4), HasSubstr("not valid JSON"));
}

TEST(SafetensorsIndex, ShardsArePlainFileNames) {
  const auto parse_one = [](const std::string& shard) {
    return parse_safetensors_index(R"({"weight_map": {"w": ")" + shard + "\"}}", "i.json");
  };
  EXPECT_EQ(parse_one("model-00001-of-00002.safetensors").at("w"),
            "model-00001-of-00002.safetensors");
  for (const char* shard : {"../m.safetensors", "/etc/passwd", "..", ".", "", "a/b", "a\\\\b",
                            "m.safetensors\\u0000"}) {
    EXPECT_THAT(error_message([&] { parse_one(shard); }),
                AllOf(HasSubstr("i.json"), HasSubstr("'w'"), HasSubstr("plain file name")))
        << shard;
  }
  for (const char* text : {"{}", R"({"weight_map": []})", R"({"weight_map": {}})",
                           R"({"weight_map": {"w": 3}})", "3", "nonsense"}) {
    EXPECT_THAT(error_message([&] { parse_safetensors_index(text, "i.json"); }),
                HasSubstr("i.json"));
  }
}

}  // namespace
}  // namespace toplens
