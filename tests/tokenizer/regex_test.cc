#include "tokenizer/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_message.h"

namespace toplens {
namespace {

std::vector<std::string> matches(const char* pattern, std::string_view text) {
  std::vector<std::string> found;
  for (const ByteRange range : Regex::compile(pattern, "test").find_all(text)) {
    found.emplace_back(text.substr(range.begin, range.end - range.begin));
  }
  return found;
}

TEST(Regex, BlanksAreUnicodesWhiteSpace) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(matches("\\s+", "a \u00a0\u2003b\u0085"), (Words{" \u00a0\u2003", "\u0085"}));
  EXPECT_EQ(matches("\\s", "\u180e\u200b"), Words{});  // PCRE2's own \s takes U+180E
  EXPECT_EQ(matches("[^\\s\\p{L}]", "a \u180e"), Words{"\u180e"});
}

TEST(Regex, EmptyMatchesMoveOn) { EXPECT_EQ(matches("x*", "éx").size(), 3u); }

TEST(Regex, BracketFirstInAClassIsACharacter) {
  EXPECT_EQ(matches("[]a]+", "b]a["), std::vector<std::string>{"]a"});
}

TEST(Regex, WhatLibrariesReadDifferentlyIsRefused) {
  for (const char* pattern : {"\\w", "\\h", "[a&&b]", "[a[bc]]", "\\p{N}{1,3}+", "\\Qa\\E"}) {
    EXPECT_THAT(testing::error_message([&] { Regex::compile(pattern, "test"); }),
                ::testing::HasSubstr("disagree"))
        << pattern;
  }
  EXPECT_NO_THROW(Regex::compile("[\\p{L}\\p{M}]+|\\p{L}+|a++", "test"));
}

}  // namespace
}  // namespace toplens
