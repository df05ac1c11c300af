#include "tokenizer/hf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <nlohmann/json.hpp>

#include "io/json_text.h"
#include "support/error_message.h"
#include "tokenizer/fixtures.h"
#include "tokenizer/hf_tokenizer_json.h"

namespace toplens {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using testing::byte_fallback_json;
using testing::byte_level_json;
using testing::error_message;
using ::testing::HasSubstr;
using Ids = std::vector<std::int32_t>;

HfTokenizer make(const json& root) { return {parse_hf_tokenizer(root, "t.json"), "t.json"}; }
HfTokenizer make(const std::string& text) { return make(json::parse(text)); }

TEST(HfTokenizer, ByteLevelMergesInOrderOfPriority) {
  const HfTokenizer tokenizer = make(byte_level_json());
  EXPECT_EQ(tokenizer.encode("hello hello"), (Ids{259, 260}));
  EXPECT_EQ(tokenizer.encode("shell"), (Ids{'s', 258}));
  EXPECT_EQ(tokenizer.encode("elle"), (Ids{'e', 257, 'e'}));
  EXPECT_EQ(tokenizer.encode("  hello"), (Ids{' ', 260}));  // \s+(?!\S) leaves one blank
  EXPECT_EQ(tokenizer.encode("é\n"), (Ids{0xc3, 0xa9, '\n'}));
  EXPECT_EQ(tokenizer.encode(""), Ids{});
  EXPECT_EQ(tokenizer.vocab_size(), 263);
  EXPECT_EQ(tokenizer.description(), "tokenizer.json (byte-level BPE)");
  EXPECT_EQ(tokenizer.piece(260), " hello");
  EXPECT_EQ(tokenizer.piece(0xc3), "<0xC3>");
  EXPECT_EQ(tokenizer.piece(261), "<|end|>");
}

TEST(HfTokenizer, OnlyAddedTokensThatAreNotSpecialAreFoundInText) {
  const HfTokenizer tokenizer = make(byte_level_json());
  EXPECT_EQ(tokenizer.encode("hello<tag>hello"), (Ids{259, 262, 259}));
  EXPECT_EQ(tokenizer.encode("<|end|>"), (Ids{'<', '|', 'e', 'n', 'd', '|', '>'}));
  EXPECT_EQ(tokenizer.decode(Ids{259, 261, 262}), "hello<tag>");
}

TEST(HfTokenizer, AddedTokenFlags) {
  json root = json::parse(byte_level_json());
  root["added_tokens"][1]["single_word"] = true;
  root["added_tokens"][1]["lstrip"] = true;
  root["added_tokens"][1]["rstrip"] = true;
  const HfTokenizer tokenizer = make(root);
  EXPECT_EQ(tokenizer.encode("a \n<tag>  b"), (Ids{'a', 262, 'b'}));
  EXPECT_EQ(tokenizer.encode("a<tag>").size(), 6u);
}

TEST(HfTokenizer, ByteFallbackInLlamasManner) {
  const HfTokenizer tokenizer = make(byte_fallback_json());
  EXPECT_EQ(tokenizer.encode("ab ab a"), (Ids{263, 263, 264}));
  EXPECT_EQ(tokenizer.encode("c"), (Ids{259, 'c' + 3}));
  EXPECT_EQ(tokenizer.encode("é"), (Ids{259, 0xc3 + 3, 0xa9 + 3}));
  EXPECT_EQ(tokenizer.encode("<s>").size(), 4u);
  EXPECT_EQ(tokenizer.decode(Ids{263, 263, 264}), "ab ab a");
  EXPECT_EQ(tokenizer.piece(263), " ab");
  EXPECT_EQ(tokenizer.description(), "tokenizer.json (BPE with byte fallback)");
}

// As tokenizers' ByteFallback decoder: a whole run is text, or each of its bytes is U+FFFD.
TEST(HfTokenizer, EachByteOfARunThatIsNoUtf8IsOneReplacementCharacter) {
  const HfTokenizer tokenizer = make(byte_fallback_json());
  const auto byte = [](int value) { return value + 3; };
  const std::string one = "\ufffd";
  EXPECT_EQ(tokenizer.decode(Ids{264, byte(0xc3), 260}), "a" + one + "a");
  EXPECT_EQ(tokenizer.decode(Ids{264, byte(0xff), byte(0xfe), byte(0xc3), 260}),
            "a" + one + one + one + "a");
  // 'c' and "é" would be text by themselves.
  EXPECT_EQ(tokenizer.decode(Ids{264, byte('c'), byte(0xc3), byte(0xa9), byte(0xff)}),
            "a" + one + one + one + one);
  // A token between them ends a run.
  EXPECT_EQ(tokenizer.decode(Ids{264, byte(0xff), 261, byte(0xc3), byte(0xa9)}),
            "a" + one + "b\u00e9");
}

TEST(HfTokenizer, MetaspaceGivesTheSameIdsAsTheNormalizer) {
  json root = json::parse(byte_fallback_json());
  root["normalizer"] = nullptr;
  root["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}, {"split", false}};
  root["decoder"] = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}};
  const HfTokenizer tokenizer = make(root);
  EXPECT_EQ(tokenizer.encode("ab ab a"), (Ids{263, 263, 264}));
  EXPECT_EQ(tokenizer.encode("a  b"), (Ids{264, 259, 259, 261}));
  EXPECT_EQ(tokenizer.decode(Ids{263, 263, 264}), "ab ab a");
}

TEST(HfTokenizer, UnknownCharactersFuseOrDoNot) {
  json root = json::parse(byte_fallback_json());
  root["model"]["byte_fallback"] = false;
  EXPECT_EQ(make(root).encode("cc"), (Ids{259, 0}));
  root["model"]["fuse_unk"] = false;
  EXPECT_EQ(make(root).encode("cc"), (Ids{259, 0, 0}));
  root["model"]["unk_token"] = nullptr;
  EXPECT_THAT(error_message([&] { make(root).encode("cc"); }), HasSubstr("U+0063"));
}

TEST(HfTokenizer, IgnoreMergesTakesWholeWords) {
  json root = json::parse(byte_level_json());
  root["model"]["vocab"]["shell"] = 270;
  EXPECT_EQ(make(root).encode("shell"), (Ids{'s', 258}));
  root["model"]["ignore_merges"] = true;
  EXPECT_EQ(make(root).encode("shell"), Ids{270});
}

TEST(HfTokenizer, MergesAsPairsAreTheSame) {
  json root = json::parse(byte_level_json());
  json pairs = json::array();
  for (const json& merge : root["model"]["merges"]) {
    const auto text = merge.get<std::string>();
    const auto space = text.find(' ');
    pairs.push_back(json::array({text.substr(0, space), text.substr(space + 1)}));
  }
  root["model"]["merges"] = pairs;
  EXPECT_EQ(make(root).encode("hello hello"), (Ids{259, 260}));
}

// The pre-tokenizer of Llama-3: at most three digits, contractions in any case.
TEST(HfTokenizer, SplitByPattern) {
  json root = json::parse(byte_level_json());
  const char* pattern =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  root["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"},
         {"pattern", {{"Regex", pattern}}},
         {"behavior", "Isolated"},
         {"invert", false}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  const HfTokenizerSpec spec = parse_hf_tokenizer(root, "t.json");
  EXPECT_EQ(spec.pre_tokenizer.apply("It'S 12345!\n\n x", true),
            (std::vector<std::string>{"It", "'S", "Ġ", "123", "45", "!ĊĊ", "Ġx"}));
}

TEST(HfTokenizer, NfcComposes) {
  json root = json::parse(byte_level_json());
  root["normalizer"] = {{"type", "NFC"}};
  EXPECT_EQ(make(root).encode("e\u0301"), (Ids{0xc3, 0xa9}));
}

TEST(HfTokenizer, SplitBehaviors) {
  const auto apply = [](const char* behavior, bool invert) {
    json root = json::parse(byte_fallback_json());
    root["pre_tokenizer"] = {{"type", "Split"},
                             {"pattern", {{"String", "-"}}},
                             {"behavior", behavior},
                             {"invert", invert}};
    return parse_hf_tokenizer(root, "t.json").pre_tokenizer.apply("-a--b", true);
  };
  using Words = std::vector<std::string>;
  EXPECT_EQ(apply("Isolated", false), (Words{"-", "a", "-", "-", "b"}));
  EXPECT_EQ(apply("Removed", false), (Words{"a", "b"}));
  EXPECT_EQ(apply("Removed", true), (Words{"-", "-", "-"}));
  EXPECT_EQ(apply("Contiguous", false), (Words{"-", "a", "--", "b"}));
  EXPECT_EQ(apply("MergedWithPrevious", false), (Words{"-", "a-", "-", "b"}));
  EXPECT_EQ(apply("MergedWithNext", false), (Words{"-a", "-", "-b"}));
}

RC_GTEST_PROP(HfTokenizerProperty, ByteLevelDecodesWhatItEncoded, ()) {
  static const HfTokenizer tokenizer = make(byte_level_json());
  std::string text;
  for (const auto part : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 8))) {
    constexpr const char* parts[] = {"hello", " ", "he", "\n", "é", "🦙", "ll'", "<|end|>"};
    text += parts[part];
  }
  RC_ASSERT(tokenizer.decode(tokenizer.encode(text)) == text);
}

struct BadFile {
  const char* name;
  void (*damage)(json&);
  const char* message;
};

class BadTokenizerJson : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadTokenizerJson, IsAnErrorThatNamesIt) {
  json root = json::parse(byte_level_json());
  GetParam().damage(root);
  EXPECT_THAT(
      error_message([&] { make(root).encode("hello aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"); }),
      AllOf(HasSubstr("t.json"), HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadTokenizerJson,
    ::testing::Values(
        BadFile{"Unigram", [](json& j) { j["model"]["type"] = "Unigram"; }, "'Unigram'"},
        BadFile{"Normalizer",
                [](json& j) {
                  j["normalizer"] = {{"type", "BertNormalizer"}};
                },
                "supported are NFC"},
        BadFile{"PreTokenizer", [](json& j) { j["pre_tokenizer"]["type"] = "Whitespace"; },
                "supported are ByteLevel"},
        BadFile{"Decoder", [](json& j) { j["decoder"]["type"] = "WordPiece"; },
                "supported are ByteFallback"},
        BadFile{"UnknownKey", [](json& j) { j["model"]["surprise"] = 1; }, "'surprise'"},
        BadFile{"Dropout", [](json& j) { j["model"]["dropout"] = 0.1; }, "dropout"},
        BadFile{"MergeWithoutToken", [](json& j) { j["model"]["merges"].push_back("x y"); },
                "'xy'"},
        BadFile{"MergeOfThree", [](json& j) { j["model"]["merges"].push_back("x y z"); },
                "merges[5]"},
        BadFile{"SameId", [](json& j) { j["model"]["vocab"]["he"] = 257; }, "257"},
        BadFile{"NegativeId", [](json& j) { j["model"]["vocab"]["he"] = -1; }, "'he'"},
        BadFile{"HugeId", [](json& j) { j["model"]["vocab"]["he"] = 2147483647; }, "'he'"},
        BadFile{"AddedTokenTakesId", [](json& j) { j["added_tokens"][0]["id"] = 259; }, "259"},
        BadFile{"BadPattern",
                [](json& j) {
                  j["pre_tokenizer"] = {
                      {"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}};
                },
                "does not compile"},
        BadFile{"CatastrophicPattern",
                [](json& j) {
                  j["pre_tokenizer"] = {{"type", "Split"},
                                        {"pattern", {{"Regex", "(a+)+[bc]"}}},
                                        {"behavior", "Isolated"}};
                },
                "matching the pattern failed"},
        BadFile{"AmbiguousPattern",
                [](json& j) {
                  j["pre_tokenizer"] = {{"type", "Split"},
                                        {"pattern", {{"Regex", "\\w+"}}},
                                        {"behavior", "Isolated"}};
                },
                "disagree"},
        BadFile{"ExplodingNormalizer",
                [](json& j) {
                  const json step = {{"type", "Replace"},
                                     {"pattern", {{"Regex", ""}}},
                                     {"content", std::string(100000, 'a')}};
                  j["normalizer"] = {{"type", "Sequence"}, {"normalizers", {step, step, step}}};
                },
                "longer than"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace toplens
