#include "io/json_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/error_message.h"

namespace toplens {
namespace {

using ::testing::AllOf;
using testing::error_message;
using ::testing::HasSubstr;

std::string message_of(const std::string& text) {
  return error_message([&] { parse_json(text, "a.json"); });
}

TEST(JsonText, ErrorsNameFileAndPlace) {
  EXPECT_EQ(parse_json("{\"a\": [1, {\"a\": 2}]}", "a.json")["a"][1]["a"], 2);
  EXPECT_THAT(message_of("{\n \"a\": 1,\n}"), AllOf(HasSubstr("a.json"), HasSubstr("line 3")));
  EXPECT_THAT(message_of(""), HasSubstr("a.json"));
  EXPECT_THAT(message_of("\"\xff\""), HasSubstr("UTF-8"));
  EXPECT_THAT(message_of("[1e999]"), HasSubstr("a.json"));
  EXPECT_THAT(message_of("{\"b\": {\"a\": 1, \"a\": 2}}"), HasSubstr("'a' occurs twice"));
}

TEST(JsonText, DeepNestingIsAnErrorAndNoCrash) {
  EXPECT_NO_THROW(parse_json(std::string(64, '[') + std::string(64, ']'), "a.json"));
  EXPECT_THAT(message_of(std::string(1'000'000, '[')), HasSubstr("nested"));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_THAT(message_of(objects), HasSubstr("nested"));
}

TEST(JsonText, QuotesAreShortAndPrintable) {
  EXPECT_EQ(in_quotes("a\nb"), "'a\\x0ab'");
  EXPECT_LT(in_quotes(std::string(100'000, 'x')).size(), 200u);
  EXPECT_LT(message_of('"' + std::string(100'000, 'x')).size(), 300u);
  EXPECT_EQ(described(nlohmann::json::parse("[[[1]]]")), "a list");
  EXPECT_EQ(described(nlohmann::json::parse("\"x\"")), "'x'");
  EXPECT_EQ(described(nlohmann::json::parse("1.5")), "1.5");
}

}  // namespace
}  // namespace toplens
