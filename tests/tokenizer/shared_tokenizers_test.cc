// The tokenizers of real checkpoints, against llama.cpp's expected ids and the corpora.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <sstream>

#include "support/error_message.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"
#include "tokenizer/fixtures.h"
#include "tokenizer/tokenizer.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using testing::read_bytes;
using testing::shared_directory;

fs::path tokenizer_directory(const std::string& name) {
  return shared_directory() / "data/tokenizers" / name;
}

std::vector<std::string> read_cases(const fs::path& path) {
  constexpr std::string_view marker = "\n__ggml_vocab_test__\n";
  const std::string file = read_bytes(path);
  std::vector<std::string> cases;
  std::size_t begin = 0;
  for (std::size_t end; (end = file.find(marker, begin)) != std::string::npos;
       begin = end + marker.size()) {
    cases.push_back(file.substr(begin, end - begin));
  }
  if (begin < file.size()) cases.push_back(file.substr(begin));
  return cases;
}

std::vector<std::vector<std::int32_t>> read_expected(const fs::path& path) {
  std::istringstream file(read_bytes(path));
  std::vector<std::vector<std::int32_t>> expected;
  for (std::string line; std::getline(file, line);) {
    std::istringstream numbers(line);
    auto& ids = expected.emplace_back();
    for (std::int32_t id; numbers >> id;) ids.push_back(id);
  }
  return expected;
}

class LlamaCppCases : public ::testing::TestWithParam<const char*> {};

TEST_P(LlamaCppCases, EveryCaseGivesItsIds) {
  const fs::path directory = tokenizer_directory(GetParam());
  TOPLENS_NEED_SHARED(directory);
  const CheckpointTokenizer loaded = load_tokenizer(directory);
  const auto cases = read_cases(directory / "cases.inp");
  const auto expected = read_expected(directory / "cases.out");
  ASSERT_GE(cases.size(), 46u);
  ASSERT_EQ(cases.size(), expected.size());
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto ids = loaded.tokenizer->encode(cases[i]);
    EXPECT_EQ(ids, expected[i]) << "case " << i << ": " << cases[i];
    EXPECT_EQ(loaded.tokenizer->decode(ids), cases[i]) << "case " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, LlamaCppCases, ::testing::Values("llama-2", "gpt-2"),
                         [](const auto& info) {
                           return std::string(info.param) == "gpt-2" ? "Gpt2" : "Llama2";
                         });

class CorporaRoundTrip : public ::testing::TestWithParam<const char*> {};

TEST_P(CorporaRoundTrip, DecodingGivesTheTextBack) {
  const fs::path directory = tokenizer_directory(GetParam());
  const fs::path corpora = shared_directory() / "data/corpora";
  TOPLENS_NEED_SHARED(directory);
  TOPLENS_NEED_SHARED(corpora);
  const CheckpointTokenizer loaded = load_tokenizer(directory);
  std::size_t num_files = 0;
  for (const auto& entry : fs::directory_iterator(corpora)) {
    const std::string text = read_bytes(entry.path());
    const std::vector<std::int32_t> ids = loaded.tokenizer->encode(text);
    // A tokenizer that fell back to bytes would round-trip too.
    EXPECT_LT(ids.size(), text.size() / 2) << entry.path();
    EXPECT_TRUE(loaded.tokenizer->decode(ids) == text) << entry.path();
    ++num_files;
  }
  EXPECT_GE(num_files, 6u);
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, CorporaRoundTrip,
                         ::testing::Values("llama-2", "mistral-v1", "mistral-v3", "gpt-2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
                           return name;
                         });

TEST(SharedTokenizers, ControlTokensOfMistralV3AreTextInText) {
  const fs::path directory = tokenizer_directory("mistral-v3");
  TOPLENS_NEED_SHARED(directory);
  const CheckpointTokenizer loaded = load_tokenizer(directory);
  EXPECT_EQ(loaded.tokenizer->piece(3), "[INST]");
  const std::string text = "a [INST] b </s>";
  const auto ids = loaded.tokenizer->encode(text);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 3), 0);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 2), 0);
  EXPECT_EQ(loaded.tokenizer->decode(ids), text);
  EXPECT_EQ(loaded.tokenizer->vocab_size(), 32768);
}

TEST(SharedTokenizers, SpecialTokenOfGpt2IsTextInText) {
  const fs::path directory = tokenizer_directory("gpt-2");
  TOPLENS_NEED_SHARED(directory);
  const CheckpointTokenizer loaded = load_tokenizer(directory);
  const auto ids = loaded.tokenizer->encode("<|endoftext|>");
  EXPECT_GT(ids.size(), 1u);
  EXPECT_EQ(loaded.tokenizer->decode(ids), "<|endoftext|>");
  EXPECT_EQ(loaded.tokenizer->piece(50256), "<|endoftext|>");
  EXPECT_EQ(loaded.tokenizer->piece(995), " world");
  EXPECT_EQ(loaded.bos_id, std::nullopt);
}

TEST(SharedTokenizers, Stories260KStartsWithItsOwnBos) {
  const fs::path directory = shared_directory() / "data/models/stories260K";
  TOPLENS_NEED_SHARED(directory);
  const CheckpointTokenizer loaded = load_tokenizer(directory);
  EXPECT_EQ(loaded.bos_id, 1);
  EXPECT_EQ(loaded.file.filename(), "tokenizer.model");
  EXPECT_EQ(loaded.bos_source, "tokenizer.model: its own BOS piece");
  const std::string text =
      "Once upon a time, there was a little girl named Lily. She loved to play outside in the "
      "park. "
      "One day, she saw a big, red ball. She wanted to play with it, but it was too high.";
  const auto ids = loaded.tokenizer->encode(text);
  EXPECT_EQ(ids.size(), 61u);
  EXPECT_EQ(loaded.tokenizer->decode(ids), text);
}

// Long texts go to libsentencepiece in parts; the ids must be those of the whole.
TEST(SharedTokenizers, PartsGiveTheIdsOfTheWholeText) {
  const fs::path directory = tokenizer_directory("llama-2");
  const fs::path corpora = shared_directory() / "data/corpora";
  TOPLENS_NEED_SHARED(directory);
  TOPLENS_NEED_SHARED(corpora);
  const CheckpointTokenizer loaded = load_tokenizer(directory);
  sentencepiece::SentencePieceProcessor whole;
  ASSERT_TRUE(whole.Load((directory / "tokenizer.model").string()).ok());
  std::string text = read_bytes(corpora / "wizard_of_oz.txt");
  // Blanks in every position that could be mistaken for a cut.
  for (std::size_t i = 1000; i < text.size(); i += 997) {
    while ((static_cast<unsigned char>(text[i]) & 0xc0) == 0x80) ++i;
    text.insert(i, i % 3 == 0 ? "   " : i % 3 == 1 ? "▁ " : " ▁");
  }
  text += "  ";
  std::vector<int> expected;
  ASSERT_TRUE(whole.Encode(text, &expected).ok());
  EXPECT_TRUE(loaded.tokenizer->encode(text) == expected);
}

TEST(SharedTokenizers, TruncatedModelNamesTheFile) {
  const fs::path directory = tokenizer_directory("llama-2");
  TOPLENS_NEED_SHARED(directory);
  const testing::ScratchDirectory checkpoint;
  const std::string bytes = read_bytes(directory / "tokenizer.model");
  testing::write_bytes(checkpoint / "tokenizer.model", bytes.substr(0, bytes.size() / 2));
  EXPECT_THAT(
      testing::error_message([&] { load_tokenizer(checkpoint.path()); }),
      ::testing::AllOf(::testing::HasSubstr("tokenizer.model"), ::testing::HasSubstr("cut off")));
}

}  // namespace
}  // namespace toplens
