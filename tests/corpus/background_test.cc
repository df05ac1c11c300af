#include "corpus/background.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "support/error_message.h"

namespace toplens {
namespace {

using ::testing::ElementsAre;
using testing::error_message;
using ::testing::HasSubstr;

/// A token for each word.
class WordTokenizer : public Tokenizer {
 public:
  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> ids;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] != ' ' && (i == 0 || text[i - 1] == ' ')) ids.push_back(0);
    }
    return ids;
  }
  std::string decode(std::span<const std::int32_t>) const override { return ""; }
  std::string piece(std::int32_t) const override { return ""; }
  int vocab_size() const override { return 1; }
  std::string description() const override { return "words"; }
};

Question facts() {
  Question question;
  question.name = "q:1";
  question.context = "Ann went  to the cellar. Bob left. Ann sat there.";
  question.support = {{0, 24}, {35, 49}};
  return question;
}

std::string text_of(const Question& question, std::size_t span) {
  return question.context.substr(question.support[span].begin,
                                 question.support[span].end - question.support[span].begin);
}

TEST(SplitSentences, AtMarksBeforeWhiteSpace) {
  EXPECT_THAT(split_sentences("One two.  \"Three\nfour?\" (Five.) Pi is 3.14 or so!!! And\r\n\n"),
              ElementsAre("One two.", "\"Three four?\"", "(Five.)", "Pi is 3.14 or so!!!", "And"));
  EXPECT_THAT(split_sentences("\xe2\x80\x9cNo.\xe2\x80\x9d Yes."),
              ElementsAre("\xe2\x80\x9cNo.\xe2\x80\x9d", "Yes."));
  EXPECT_THAT(split_sentences(" \n "), ::testing::IsEmpty());
}

RC_GTEST_PROP(BackgroundProperty, TheContextIsAllThereAndAsLongAsWanted, ()) {
  const WordTokenizer tokenizer;
  std::vector<std::string> sentences;
  for (int i = 0; i < 50; ++i) {
    std::string sentence = fmt::format("w{}", i);
    for (int k = *rc::gen::inRange(0, 4); k > 0; --k) sentence += " x";
    sentences.push_back(sentence + ".");
  }
  sentences.push_back("one.");  // fits wherever a token is left
  const auto tokens = static_cast<std::size_t>(*rc::gen::inRange(10, 60));
  const auto seed = static_cast<std::uint64_t>(*rc::gen::inRange(0, 1000));
  const auto index = static_cast<std::uint64_t>(*rc::gen::inRange(0, 1000));
  BackgroundMixer mixer(sentences, "b.txt", tokenizer, seed);
  const Question mixed = mixer.mix(facts(), tokens, index);
  const std::size_t length = tokenizer.encode(mixed.context).size();
  RC_ASSERT(length <= tokens);
  RC_ASSERT(length + 4 > tokens);
  RC_ASSERT(text_of(mixed, 0) == "Ann went  to the cellar.");
  RC_ASSERT(text_of(mixed, 1) == "Ann sat there.");
  RC_ASSERT(mixed.support[0].end < mixed.context.find("Bob left."));
  RC_ASSERT(mixed.context.find("Bob left.") < mixed.support[1].begin);
  // Every sentence at most once; the same inputs give the same text, whatever was mixed before.
  std::set<std::string> seen;
  for (const std::string& sentence : split_sentences(mixed.context)) {
    RC_ASSERT(seen.insert(sentence).second);
  }
  RC_ASSERT(mixer.mix(facts(), tokens, index).context == mixed.context);
  BackgroundMixer fresh(sentences, "b.txt", tokenizer, seed);
  RC_ASSERT(fresh.mix(facts(), tokens, index).context == mixed.context);
}

TEST(Background, ASpanOverTwoSentencesStaysTogether) {
  const WordTokenizer tokenizer;
  std::vector<std::string> sentences(40, "Filler.");
  Question question = facts();
  question.support = {{10, 34}};  // from within the first sentence to the end of the second
  for (std::uint64_t index = 0; index < 20; ++index) {
    BackgroundMixer mixer(sentences, "b.txt", tokenizer, 1);
    EXPECT_EQ(text_of(mixer.mix(question, 30, index), 0), "to the cellar. Bob left.") << index;
  }
}

TEST(Background, SaysWhatDoesNotFit) {
  const WordTokenizer tokenizer;
  BackgroundMixer mixer({"A b.", "C."}, "b.txt", tokenizer, 1);
  EXPECT_EQ(mixer.mix(facts(), 10, 0).context, facts().context);
  EXPECT_EQ(error_message([&] { mixer.mix(facts(), 9, 0); }),
            "q:1: the context alone has 10 tokens, more than the 9 wanted");
  EXPECT_EQ(error_message([&] { mixer.mix(facts(), 20, 0); }),
            "b.txt: its 2 sentences are 7 tokens too short for the background");
  EXPECT_THAT(error_message([&] { BackgroundMixer({}, "b.txt", tokenizer, 1); }),
              HasSubstr("no sentences"));
}

}  // namespace
}  // namespace toplens
