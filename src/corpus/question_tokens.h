#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/questions.h"
#include "tokenizer/tokenizer.h"

namespace toplens {

/// The text that a question is put in. A candidate follows it behind one space.
class PromptTemplate {
 public:
  /// That of Mudarisov, Burtsev, State 2026 (appendix B.4).
  static constexpr std::string_view kDefault =
      "Read the context and answer the question. Return only the short answer.\\n\\n"
      "Context:\\n{context}\\n\\nQuestion: {question}\\nAnswer:";

  /// `text` holds {context} and {question} once each; \n in it is a line break. Throws Error
  /// otherwise.
  explicit PromptTemplate(std::string_view text = kDefault);

  struct Prompt {
    std::string text;
    std::size_t context_begin = 0;  ///< byte where the context begins
  };
  Prompt fill(const Question& question) const;

 private:
  std::string text_;
  std::size_t context_ = 0, question_ = 0;  // where the placeholders begin
};

/// A question as a model sees it.
struct QuestionTokens {
  std::vector<std::int32_t> prompt;  ///< BOS first where there is one; its last is the answer query
  std::vector<std::vector<std::int32_t>> continuations;  ///< of each candidate
  std::size_t answer = 0;                                ///< index among the candidates
  /// Candidates whose continuation begins with the same token as another's, increasing.
  std::vector<std::size_t> shared_first_token;
  std::vector<std::size_t> support;  ///< positions in the prompt, increasing
  /// Positions in the prompt of the tokens that hold anything of the context: [first, end).
  std::size_t context_first = 0, context_end = 0;
  std::string no_support_reason;  ///< why support is empty: one of a few
  std::string no_support_detail;  ///< which span and where, for a span that does not align
};

/// Tokenizes prompt and candidates. What the prompt's end and a candidate's beginning merge to
/// belongs to the continuation, so that prompt and continuation together are the tokens of the
/// whole text. A support span aligns where its tokens have no other characters than its own and
/// white space around it; where a span does not, the question has no support. Throws Error where a
/// candidate adds no token.
QuestionTokens tokenize_question(const Question& question, const PromptTemplate& prompt_template,
                                 const Tokenizer& tokenizer, std::optional<std::int32_t> bos_id);

/// Tokens [first, last) of `ids`, the encoding of `text`, that hold the bytes of a span; or the
/// reason why there are none.
struct AlignedSpan {
  std::size_t first = 0, last = 0;
  std::string reason;
};
AlignedSpan align_span(std::string_view text, const std::vector<std::int32_t>& ids,
                       const TextSpan& span, const Tokenizer& tokenizer);

}  // namespace toplens
