#include "corpus/question_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_message.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

using ::testing::ElementsAre;
using testing::error_message;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Question rooms() {
  Question question;
  question.name = "q:1";
  question.context = "Ann went to the cellar. Bob moved to the attic.";
  question.question = "Where is Bob?";
  question.answer = "attic";
  question.candidates = {"cellar", "attic"};
  question.support = {{24, 47}};
  return question;
}

/// Tokenizers of different kinds; all but the first are not in the project.
std::vector<std::filesystem::path> tokenizer_directories() {
  const auto shared = testing::shared_directory() / "data";
  return {testing::source_directory() / "demo/model", shared / "models/stories260K",
          shared / "tokenizers/llama-2", shared / "tokenizers/gpt-2"};
}

/// The bytes of `text` that tokens [first, last) spell.
std::string spelled(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids,
                    std::size_t first, std::size_t last) {
  const std::string before = tokenizer.decode(std::span(ids).first(first));
  return tokenizer.decode(std::span(ids).first(last)).substr(before.size());
}

TEST(PromptTemplate, IsFilled) {
  const PromptTemplate::Prompt prompt = PromptTemplate().fill(rooms());
  EXPECT_EQ(prompt.text,
            "Read the context and answer the question. Return only the short answer.\n\nContext:\n"
            "Ann went to the cellar. Bob moved to the attic.\n\nQuestion: Where is Bob?\nAnswer:");
  EXPECT_EQ(prompt.text.substr(prompt.context_begin, 3), "Ann");
  const PromptTemplate::Prompt other = PromptTemplate("Q {question} C {context}.").fill(rooms());
  EXPECT_EQ(other.text, "Q Where is Bob? C Ann went to the cellar. Bob moved to the attic..");
  EXPECT_EQ(other.text.substr(other.context_begin, 3), "Ann");
  for (const char* bad : {"{context}", "{question}", "{context}{context}{question}", ""}) {
    EXPECT_THAT(error_message([&] { PromptTemplate{std::string_view(bad)}; }),
                HasSubstr("expected {context} and {question} once each"));
  }
}

TEST(QuestionTokens, PromptAndContinuationAreTheWholeText) {
  for (const auto& directory : tokenizer_directories()) {
    TOPLENS_NEED_SHARED(directory);
    SCOPED_TRACE(directory);
    const CheckpointTokenizer loaded = load_tokenizer(directory);
    const Tokenizer& tokenizer = *loaded.tokenizer;
    const PromptTemplate prompt_template;
    const QuestionTokens tokens =
        tokenize_question(rooms(), prompt_template, tokenizer, loaded.bos_id);
    EXPECT_EQ(tokens.answer, 1u);
    const std::string prompt = prompt_template.fill(rooms()).text;
    const std::size_t bos = loaded.bos_id ? 1 : 0;
    for (std::size_t c = 0; c < 2; ++c) {
      std::vector<std::int32_t> whole(tokens.prompt.begin() + static_cast<std::ptrdiff_t>(bos),
                                      tokens.prompt.end());
      whole.insert(whole.end(), tokens.continuations[c].begin(), tokens.continuations[c].end());
      EXPECT_EQ(whole, tokenizer.encode(prompt + " " + rooms().candidates[c]));
    }
    // Each support token spells a part of the sentence, together all of it.
    ASSERT_FALSE(tokens.support.empty()) << tokens.no_support_reason << tokens.no_support_detail;
    const std::vector<std::int32_t> ids = tokenizer.encode(prompt);
    std::string text;
    for (const std::size_t position : tokens.support) {
      text += spelled(tokenizer, ids, position - bos, position - bos + 1);
    }
    EXPECT_THAT(text, ::testing::AnyOf(" Bob moved to the attic.", "Bob moved to the attic."));
    // The context's tokens are those from its first character to its last.
    const std::size_t first = tokens.context_first - bos, end = tokens.context_end - bos;
    const std::size_t begin = prompt_template.fill(rooms()).context_begin;
    const std::size_t last = begin + rooms().context.size();
    EXPECT_LE(tokenizer.decode(std::span(ids).first(first)).size(), begin);
    EXPECT_GT(tokenizer.decode(std::span(ids).first(first + 1)).size(), begin);
    EXPECT_GE(tokenizer.decode(std::span(ids).first(end)).size(), last);
    EXPECT_LT(tokenizer.decode(std::span(ids).first(end - 1)).size(), last);
  }
}

TEST(QuestionTokens, ASpanWithinATokenIsSaid) {
  const CheckpointTokenizer loaded = load_tokenizer(testing::source_directory() / "demo/model");
  const AlignedSpan aligned =
      align_span("the attic", loaded.tokenizer->encode("the attic"), {1, 3}, *loaded.tokenizer);
  EXPECT_THAT(aligned.reason, HasSubstr("its beginning lies within the token ' the'"));
  const AlignedSpan end =
      align_span("the attic", loaded.tokenizer->encode("the attic"), {0, 2}, *loaded.tokenizer);
  EXPECT_THAT(end.reason, HasSubstr("its end lies within the token ' the'"));
  Question question = rooms();
  question.context = "the attic";
  question.support = {{1, 3}};
  QuestionTokens tokens =
      tokenize_question(question, PromptTemplate(), *loaded.tokenizer, loaded.bos_id);
  EXPECT_THAT(tokens.support, IsEmpty());
  EXPECT_EQ(tokens.no_support_reason, "a support span does not align with tokens");
  EXPECT_EQ(tokens.no_support_detail, "'he': its beginning lies within the token 'the'");
  question.support.clear();
  tokens = tokenize_question(question, PromptTemplate(), *loaded.tokenizer, loaded.bos_id);
  EXPECT_EQ(tokens.no_support_reason, "no support spans given");
}

TEST(QuestionTokens, SupportWithoutAnotherTokenOfTheContextIsNotMeasured) {
  const CheckpointTokenizer loaded = load_tokenizer(testing::source_directory() / "demo/model");
  Question question = rooms();
  question.support = {{0, question.context.size()}};
  const QuestionTokens tokens =
      tokenize_question(question, PromptTemplate(), *loaded.tokenizer, loaded.bos_id);
  EXPECT_THAT(tokens.support, IsEmpty());
  EXPECT_THAT(tokens.no_support_reason, HasSubstr("nothing competes"));
}

TEST(QuestionTokens, CandidatesThatShareTheirFirstTokenAreFound) {
  const CheckpointTokenizer loaded = load_tokenizer(testing::source_directory() / "demo/model");
  Question question = rooms();
  question.candidates = {"the cellar", "attic", "the attic"};
  const QuestionTokens tokens =
      tokenize_question(question, PromptTemplate(), *loaded.tokenizer, loaded.bos_id);
  EXPECT_THAT(tokens.shared_first_token, ElementsAre(0u, 2u));
  EXPECT_EQ(tokens.continuations[0].front(), tokens.continuations[2].front());
  EXPECT_NE(tokens.continuations[0].front(), tokens.continuations[1].front());
  EXPECT_THAT(tokenize_question(rooms(), PromptTemplate(), *loaded.tokenizer, loaded.bos_id)
                  .shared_first_token,
              IsEmpty());
}

}  // namespace
}  // namespace toplens
