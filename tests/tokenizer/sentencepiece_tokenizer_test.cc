// Two small models trained on The Wizard of Oz: "bytes" in LLaMA-2's manner (BPE, identity
// normalizer, byte fallback) with a user-defined <tag> and a control <ctl>, and "mapped" (unigram)
// with a character map that writes the ligature fi as two letters.
#include "tokenizer/sentencepiece_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "support/error_message.h"
#include "support/shared_data.h"
#include "tokenizer/fixtures.h"
#include "tokenizer/sentencepiece_writer.h"

namespace toplens {
namespace {

using testing::error_message;
using ::testing::HasSubstr;

std::string model_bytes(const std::string& name) {
  return testing::read_bytes(testing::source_directory() / "tests/fuzz/seeds/tokenizer_model_fuzz" /
                             (name + ".model"));
}

TEST(SentencePieceTokenizer, ControlPiecesAreTextAndUserDefinedOnesAreTokens) {
  const SentencePieceTokenizer tokenizer(model_bytes("bytes"), "m");
  const std::int32_t control = tokenizer.find_token("<ctl>").value();
  const std::int32_t tag = tokenizer.find_token("<tag>").value();
  const auto ids = tokenizer.encode("a<ctl>b<tag>");
  EXPECT_EQ(std::count(ids.begin(), ids.end(), control), 0);
  EXPECT_EQ(ids.back(), tag);
  EXPECT_EQ(tokenizer.decode(ids), "a<ctl>b<tag>");
  EXPECT_EQ(tokenizer.decode(std::vector<std::int32_t>{control, tag}), "<tag>");
  EXPECT_EQ(tokenizer.piece(control), "<ctl>");
  EXPECT_EQ(tokenizer.piece(tokenizer.find_token("<0xC3>").value()), "<0xC3>");
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.vocab_size(), 300);
}

RC_GTEST_PROP(SentencePieceProperty, IdentityModelsDecodeWhatTheyEncoded, ()) {
  static const SentencePieceTokenizer tokenizer(model_bytes("bytes"), "m");
  std::string text;
  for (const auto part : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 9))) {
    constexpr const char* parts[] = {"the ", " ",   "Oz",    "\n",    "é",
                                     "🦙", "<s>", "<tag>", "<0x41>"};
    text += parts[part];
  }
  RC_ASSERT(tokenizer.decode(tokenizer.encode(text)) == text);
}

// Texts of more than 1024 bytes are encoded in parts; a run of blanks that is one piece must stay
// in one part, wherever it lies.
TEST(SentencePieceTokenizer, RunsOfBlanksAreNotCut) {
  using Type = SentencePieceModel::PieceType;
  enum : std::int32_t { unknown, blank, two, four, a, b };
  const std::vector<ScoredPiece> pieces = {
      {"<unk>", 0, Type::unknown}, {"▁", -3}, {"▁▁", -1}, {"▁▁▁▁", -2}, {"a", -4}, {"b", -5}};
  const SentencePieceTokenizer tokenizer(write_sentencepiece_model(pieces, {}), "m");
  for (const std::string blanks : {"    ", "▁   ", " ▁  ", "▁▁▁ "}) {
    for (std::size_t before = 1005; before <= 1035; ++before) {
      // A second such place, so that what is left after a cut is cut too.
      const std::string text = std::string(before, 'a') + blanks + std::string(1020, 'a') + "    b";
      std::vector<std::int32_t> expected = {blank};
      expected.insert(expected.end(), before, a);
      expected.push_back(four);
      expected.insert(expected.end(), 1020, a);
      expected.insert(expected.end(), {four, b});
      EXPECT_EQ(tokenizer.encode(text), expected) << before << " '" << blanks << "'";
    }
  }
}

TEST(SentencePieceTokenizer, CharacterMapIsApplied) {
  const SentencePieceTokenizer tokenizer(model_bytes("mapped"), "m");
  EXPECT_EQ(tokenizer.encode("\ufb01nd"), tokenizer.encode("find"));
}

// libsentencepiece follows the trie of the character map wherever it points.
TEST(SentencePieceTokenizer, DamagedCharacterMapIsRefused) {
  const std::string bytes = model_bytes("mapped");
  const std::string trie_size("\x00\x04\x00\x00", 4);  // 256 units, little-endian
  const std::size_t trie = bytes.find(trie_size);
  ASSERT_NE(trie, std::string::npos);
  std::string far = bytes;
  for (std::size_t i = 1; i < 4; ++i) far[trie + 4 + i] = '\x7f';  // the root
  EXPECT_THAT(error_message([&] { SentencePieceTokenizer(far, "m"); }),
              HasSubstr("m: the trie of precompiled_charsmap points outside itself"));
  std::string leaf = bytes;
  leaf[trie + 4 + 3] = '\xff';
  EXPECT_THAT(error_message([&] { SentencePieceTokenizer(leaf, "m"); }), HasSubstr("has no root"));
  std::string size = bytes;
  size[trie] = '\x01';
  EXPECT_THAT(error_message([&] { SentencePieceTokenizer(size, "m"); }), HasSubstr("is malformed"));
}

TEST(SentencePieceTokenizer, EveryTruncationIsAnErrorOrALoadableModel) {
  const std::string bytes = model_bytes("bytes");
  std::size_t refused = 0;
  for (std::size_t size = 0; size < bytes.size(); size += 7) {
    try {
      SentencePieceTokenizer(bytes.substr(0, size), "m").encode("a b");
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, bytes.size() / 7 / 2);
}

TEST(SentencePieceTokenizer, IdsOutsideTheVocabulary) {
  const SentencePieceTokenizer tokenizer(model_bytes("bytes"), "m");
  EXPECT_THAT(error_message([&] { tokenizer.decode(std::vector<std::int32_t>{300}); }),
              HasSubstr("token id 300"));
  EXPECT_THAT(error_message([&] { tokenizer.encode("a\xff"); }), HasSubstr("UTF-8 at byte 1"));
}

}  // namespace
}  // namespace toplens
