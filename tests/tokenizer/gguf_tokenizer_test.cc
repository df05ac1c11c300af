// The tokenizer inside a GGUF file against the files that it was made from.

#include "tokenizer/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/error_message.h"
#include "support/gguf_bytes.h"
#include "support/gguf_writer.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"
#include "tokenizer/fixtures.h"
#include "tokenizer/pre_tokenizer.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::error_message;
using testing::GgufBytes;
using ::testing::HasSubstr;
using testing::ScratchDirectory;

const std::vector<std::string>& tricky_texts() {
  static const std::vector<std::string> texts = {
      "",
      " ",
      "   ",
      "\n",
      "\t\t a",
      "Hello world",
      " Hello  world   three",
      "trailing blanks   ",
      "line\nbreaks\r\n\r\n\n and\ttabs",
      "don't WE'LL I'D they'Re",
      "12345 3.14159 1 22 333 4444",
      "\xc3\xa9t\xc3\xa9 e\xcc\x81 na\xc3\xafve \xe2\x96\x81 x",  // composed and not, U+2581
      "\xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9",
      "<s></s><unk><0x0A>[INST] <|endoftext|>",
      std::string("nul\0byte", 8),
      "a!b?? --- ((x)) {y}\n\n\n",
  };
  return texts;
}

void expect_same_ids(const CheckpointTokenizer& a, const CheckpointTokenizer& b,
                     const std::string& long_text = "") {
  EXPECT_EQ(a.tokenizer->vocab_size(), b.tokenizer->vocab_size());
  std::vector<std::string> texts = tricky_texts();
  texts.push_back(long_text);
  for (const std::string& text : texts) {
    const auto ids = a.tokenizer->encode(text);
    EXPECT_EQ(b.tokenizer->encode(text), ids) << text.substr(0, 80);
    EXPECT_EQ(b.tokenizer->decode(ids), a.tokenizer->decode(ids)) << text.substr(0, 80);
  }
  for (int id = 0; id < a.tokenizer->vocab_size(); id += 7) {
    EXPECT_EQ(a.tokenizer->piece(id), b.tokenizer->piece(id)) << id;
  }
}

/// The tokenizer of a GGUF file that was made from this tokenizer.model or tokenizer.json.
CheckpointTokenizer through_gguf(const fs::path& tokenizer_file, const std::string& pre = "gpt-2") {
  const ScratchDirectory scratch;
  testing::write_gguf(testing::golden_directory() / "tiny-llama", scratch / "m.gguf",
                      {"--tokenizer", tokenizer_file, "--pre", pre});
  return load_tokenizer(scratch / "m.gguf");
}

TEST(GgufTokenizer, DemoModelGivesTheIdsOfItsTokenizerModel) {
  const fs::path demo = testing::source_directory() / "demo";
  const CheckpointTokenizer found = through_gguf(demo / "model/tokenizer.model");
  expect_same_ids(load_tokenizer(demo / "model"), found,
                  testing::read_bytes(demo / "text/held_out.txt").substr(0, 20000));
  EXPECT_EQ(found.bos_id, 1);
  EXPECT_EQ(found.tokenizer->description(), "SentencePiece model in GGUF");
  EXPECT_THAT(found.bos_source, HasSubstr("tokenizer.ggml.add_bos_token is true"));
  EXPECT_EQ(found.file.filename(), "m.gguf");
}

class SharedGgufTokenizers : public ::testing::TestWithParam<const char*> {};

TEST_P(SharedGgufTokenizers, GiveTheIdsOfTheirFiles) {
  const fs::path directory = testing::shared_directory() / "data/tokenizers" / GetParam();
  TOPLENS_NEED_SHARED(directory);
  const fs::path model = directory / "tokenizer.model";
  const CheckpointTokenizer found =
      through_gguf(fs::exists(model) ? model : directory / "tokenizer.json");
  const fs::path text = testing::shared_directory() / "data/corpora/wiki.test.raw";
  expect_same_ids(load_tokenizer(directory), found,
                  fs::exists(text) ? testing::read_bytes(text).substr(0, 50000) : "");
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, SharedGgufTokenizers,
                         ::testing::Values("llama-2", "mistral-v1", "mistral-v3", "gpt-2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
                           return name;
                         });

// What Llama-3's and Qwen2's tokenizer.json say about splitting, with GPT-2's vocabulary.
TEST(GgufTokenizer, PreTokenizersSplitAsThePublishedFilesSay) {
  const fs::path gpt2 = testing::shared_directory() / "data/tokenizers/gpt-2/tokenizer.json";
  TOPLENS_NEED_SHARED(gpt2);
  const std::string head = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)";
  const std::string tail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  for (const std::string pre : {"llama-bpe", "qwen2"}) {
    SCOPED_TRACE(pre);
    auto json = nlohmann::json::parse(testing::read_bytes(gpt2));
    const std::string digits = pre == "qwen2" ? R"(\p{N})" : R"(\p{N}{1,3})";
    json["pre_tokenizer"] = {
        {"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"},
           {"pattern", {{"Regex", head + digits + tail}}},
           {"behavior", "Isolated"},
           {"invert", false}},
          {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
    if (pre == "qwen2") json["normalizer"] = {{"type", "NFC"}};
    if (pre == "llama-bpe") json["model"]["ignore_merges"] = true;
    const ScratchDirectory scratch;
    testing::write_bytes(scratch / "tokenizer.json", json.dump());
    const CheckpointTokenizer found = through_gguf(scratch / "tokenizer.json", pre);
    expect_same_ids(load_tokenizer(scratch.path()), found);
    // Llama-3's tokenizer adds BOS where the file does not say.
    EXPECT_EQ(found.bos_id.has_value(), pre == "llama-bpe");
  }
}

TEST(GgufTokenizer, AddedTokensKeepTheirKind) {
  const ScratchDirectory scratch;
  testing::write_bytes(scratch / "tokenizer.json", testing::byte_level_json());
  const CheckpointTokenizer expected = load_tokenizer(scratch.path());
  const CheckpointTokenizer found = through_gguf(scratch / "tokenizer.json");
  for (const std::string text : {"hello <tag> hello", "<|end|>", " hello<tag>"}) {
    EXPECT_EQ(found.tokenizer->encode(text), expected.tokenizer->encode(text)) << text;
  }
  EXPECT_EQ(found.tokenizer->description(), "GGUF, gpt-2 (byte-level BPE)");
  EXPECT_EQ(found.bos_id, std::nullopt);
  EXPECT_THAT(found.bos_source, HasSubstr("add_bos_token is absent, which means false"));
}

CheckpointTokenizer load(const GgufBytes& file) {
  const std::string bytes = file.bytes();
  return gguf_tokenizer(
      parse_gguf_header(std::as_bytes(std::span(bytes.data(), bytes.size())), "m.gguf").metadata,
      "m.gguf");
}

GgufBytes pieces(const std::vector<std::string>& tokens, const std::vector<float>& scores,
                 const std::vector<std::int32_t>& types) {
  GgufBytes file;
  file.key("tokenizer.ggml.model", "llama").texts("tokenizer.ggml.tokens", tokens);
  file.numbers<float>("tokenizer.ggml.scores", GgufBytes::f32, scores);
  file.numbers<std::int32_t>("tokenizer.ggml.token_type", GgufBytes::i32, types);
  return file;
}

TEST(GgufTokenizer, SpacePrefixAndSymbolsWithBlanks) {
  const std::string blank = "\xe2\x96\x81";
  const std::vector<std::string> tokens = {"<unk>", "<s>", blank, "a", blank + "a", "  "};
  const std::vector<float> scores = {0, 0, -2, -3, -1, 0};
  GgufBytes file = pieces(tokens, scores, {2, 3, 1, 1, 1, 4});
  file.key("tokenizer.ggml.bos_token_id", 1u);
  GgufBytes without = file;
  without.key("tokenizer.ggml.add_space_prefix", false);
  EXPECT_THAT(load(file).tokenizer->encode("a a"), ::testing::ElementsAre(4, 4));
  EXPECT_THAT(load(without).tokenizer->encode("a a"), ::testing::ElementsAre(3, 4));
  EXPECT_THAT(load(without).tokenizer->encode("a  a"), ::testing::ElementsAre(3, 5, 3));
  EXPECT_EQ(load(file).bos_id, 1);
  file.key("tokenizer.ggml.add_bos_token", false);
  EXPECT_EQ(load(file).bos_id, std::nullopt);
}

TEST(GgufTokenizer, BadVocabulariesAreNamed) {
  const auto message = [](const GgufBytes& file) {
    return error_message([&] { (void)load(file); });
  };
  EXPECT_THAT(message(GgufBytes()), HasSubstr("the file has no tokenizer"));
  EXPECT_THAT(message(GgufBytes().key("tokenizer.ggml.model", "bert")),
              HasSubstr("'bert', expected llama or gpt2"));
  EXPECT_THAT(message(pieces({"a", "b"}, {1}, {1, 1})), HasSubstr("one for each of 2 tokens"));
  EXPECT_THAT(message(pieces({"a", "b"}, {1, 2}, {1})), HasSubstr("token_type"));
  EXPECT_THAT(message(pieces({"a", "b"}, {1, 2}, {1, 7})), HasSubstr("token 1 has 7"));
  EXPECT_THAT(message(pieces({"a", ""}, {1, 2}, {2, 1})), HasSubstr("piece 1 is empty"));
  EXPECT_THAT(message(pieces({"u", "a", "a"}, {1, 2, 3}, {2, 1, 1})), HasSubstr("m.gguf"));
  EXPECT_THAT(message(pieces({"a", "b"}, {1, 2}, {1, 1})), HasSubstr("m.gguf"));  // no <unk>
  EXPECT_THAT(message(pieces({}, {}, {})), HasSubstr("expected 1 to"));
  EXPECT_THAT(message(pieces({"a"}, {1}, {2}).key("tokenizer.ggml.bos_token_id", 1u)),
              HasSubstr("'tokenizer.ggml.bos_token_id' is 1, expected an integer from 0 to 0"));
  EXPECT_THAT(message(pieces({"a"}, {1}, {2}).key("tokenizer.ggml.add_bos_token", true)),
              HasSubstr("is true, but 'tokenizer.ggml.bos_token_id' is missing"));

  const auto byte_level = [](const char* pre, const std::vector<std::string>& tokens,
                             const std::vector<std::string>& merges) {
    return GgufBytes()
        .key("tokenizer.ggml.model", "gpt2")
        .key("tokenizer.ggml.pre", pre)
        .texts("tokenizer.ggml.tokens", tokens)
        .texts("tokenizer.ggml.merges", merges);
  };
  EXPECT_THAT(message(byte_level("tekken", {"a"}, {})),
              AllOf(HasSubstr("'tekken'"), HasSubstr("gpt-2, llama-bpe, qwen2")));
  EXPECT_THAT(message(byte_level("gpt-2", {"a", "a"}, {})), HasSubstr("tokens 0 and 1"));
  EXPECT_THAT(message(byte_level("gpt-2", {"a", "\xff"}, {})), HasSubstr("token 1 ('<0xFF>')"));
  EXPECT_THAT(message(byte_level("gpt-2", {"a"}, {"aa"})), HasSubstr("merge 0"));
  EXPECT_THAT(message(byte_level("gpt-2", {"a"}, {"a b"})), HasSubstr("m.gguf"));
  EXPECT_THAT(
      message(
          GgufBytes().key("tokenizer.ggml.model", "gpt2").texts("tokenizer.ggml.tokens", {"a"})),
      HasSubstr("'tokenizer.ggml.pre' is missing"));
}

}  // namespace
}  // namespace toplens
