#include "corpus/question_tokens.h"

#include <algorithm>

#include <fmt/format.h>

#include <toplens/error.h>

#include "io/json_text.h"

namespace toplens {

namespace {

constexpr std::string_view kContext = "{context}";
constexpr std::string_view kQuestion = "{question}";

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::size_t find_once(std::string_view text, std::string_view placeholder) {
  const std::size_t found = text.find(placeholder);
  if (found == text.npos || text.find(placeholder, found + 1) != text.npos) {
    throw Error(fmt::format("prompt template {}: expected {} and {} once each", in_quotes(text),
                            kContext, kQuestion));
  }
  return found;
}

std::string with_line_breaks(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i).starts_with("\\n")) {
      result += '\n';
      ++i;
    } else {
      result += text[i];
    }
  }
  return result;
}

std::size_t common_prefix(const std::vector<std::int32_t>& a, const std::vector<std::int32_t>& b) {
  const auto [in_a, in_b] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<std::size_t>(in_a - a.begin());
}

/// Which prefixes of the tokens are prefixes of the text.
class TokenBoundaries {
 public:
  TokenBoundaries(std::string_view text, const std::vector<std::int32_t>& ids,
                  const Tokenizer& tokenizer)
      : text_(text), ids_(ids), tokenizer_(tokenizer) {}

  /// Number of tokens that spell exactly the first `byte` bytes.
  std::optional<std::size_t> at(std::size_t byte) const {
    const std::size_t near = lower_bound(byte);
    // The lengths of prefixes that end within a character are not in order.
    constexpr std::size_t kAround = 4;
    const std::size_t last = std::min(near + kAround, ids_.size());
    for (std::size_t k = near - std::min(near, kAround); k <= last; ++k) {
      if (prefix(k) == text_.substr(0, byte)) return k;
    }
    return std::nullopt;
  }

  /// Tokens [first, last) that hold any of the bytes [begin, end).
  std::pair<std::size_t, std::size_t> overlapping(std::size_t begin, std::size_t end) const {
    if (begin == end) return {0, 0};
    const std::size_t first = std::max<std::size_t>(lower_bound(begin + 1), 1) - 1;
    return {first, std::max(first, std::min(lower_bound(end), ids_.size()))};
  }

  /// Why at(byte) is none.
  std::string reason(std::size_t byte, std::string_view end) const {
    const std::size_t above = lower_bound(byte);
    if (above == 0 || above > ids_.size() || !text_.starts_with(prefix(above - 1))) {
      return "the tokenizer changes the text before it";
    }
    return fmt::format("its {} lies within the token {}", end,
                       in_quotes(tokenizer_.piece(ids_[above - 1])));
  }

 private:
  std::string prefix(std::size_t count) const {
    return tokenizer_.decode(std::span(ids_).first(count));
  }
  /// The smallest number of tokens that spell at least `byte` bytes.
  std::size_t lower_bound(std::size_t byte) const {
    std::size_t low = 0, high = ids_.size() + 1;
    while (low < high) {
      const std::size_t middle = low + (high - low) / 2;
      if (middle <= ids_.size() && prefix(middle).size() < byte) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  std::string_view text_;
  const std::vector<std::int32_t>& ids_;
  const Tokenizer& tokenizer_;
};

void find_support(const Question& question, const PromptTemplate::Prompt& prompt,
                  const std::vector<std::int32_t>& ids, std::size_t shared,
                  const Tokenizer& tokenizer, QuestionTokens& tokens) {
  if (question.support.empty()) {
    tokens.no_support_reason = "no support spans given";
    return;
  }
  const std::size_t first_position = tokens.prompt.size() - shared;  // 1 behind a BOS
  const auto [context_first, context_end] =
      TokenBoundaries(prompt.text, ids, tokenizer)
          .overlapping(prompt.context_begin, prompt.context_begin + question.context.size());
  tokens.context_first = first_position + std::min(context_first, shared);
  tokens.context_end = first_position + std::min(context_end, shared);
  for (const TextSpan& span : question.support) {
    const TextSpan in_prompt = {prompt.context_begin + span.begin, prompt.context_begin + span.end};
    AlignedSpan aligned = align_span(prompt.text, ids, in_prompt, tokenizer);
    if (aligned.reason.empty() && aligned.last > shared) {
      aligned.reason = "it reaches into the answer's first token";
    }
    if (!aligned.reason.empty()) {
      tokens.support.clear();
      tokens.no_support_reason = "a support span does not align with tokens";
      tokens.no_support_detail = fmt::format(
          "{}: {}",
          in_quotes(std::string_view(question.context).substr(span.begin, span.end - span.begin)),
          aligned.reason);
      return;
    }
    for (std::size_t i = aligned.first; i < aligned.last; ++i) {
      tokens.support.push_back(first_position + i);
    }
  }
  std::sort(tokens.support.begin(), tokens.support.end());
  tokens.support.erase(std::unique(tokens.support.begin(), tokens.support.end()),
                       tokens.support.end());
  if (tokens.support.size() >= tokens.context_end - tokens.context_first) {
    tokens.support.clear();
    tokens.no_support_reason = "the support is the whole context, nothing competes with it";
  }
}

}  // namespace

PromptTemplate::PromptTemplate(std::string_view text)
    : text_(with_line_breaks(text)),
      context_(find_once(text_, kContext)),
      question_(find_once(text_, kQuestion)) {}

PromptTemplate::Prompt PromptTemplate::fill(const Question& question) const {
  Prompt prompt;
  const bool context_first = context_ < question_;
  const std::size_t first = std::min(context_, question_), second = std::max(context_, question_);
  const std::size_t first_size = context_first ? kContext.size() : kQuestion.size();
  const std::size_t second_size = context_first ? kQuestion.size() : kContext.size();
  prompt.text = text_.substr(0, first);
  prompt.context_begin = prompt.text.size();
  prompt.text += context_first ? question.context : question.question;
  prompt.text.append(text_, first + first_size, second - first - first_size);
  if (!context_first) prompt.context_begin = prompt.text.size();
  prompt.text += context_first ? question.question : question.context;
  prompt.text.append(text_, second + second_size);
  return prompt;
}

AlignedSpan align_span(std::string_view text, const std::vector<std::int32_t>& ids,
                       const TextSpan& span, const Tokenizer& tokenizer) {
  const TokenBoundaries boundaries(text, ids, tokenizer);
  AlignedSpan aligned;
  std::optional<std::size_t> first, last;
  for (std::size_t byte = span.begin; !(first = boundaries.at(byte)); --byte) {
    if (byte == 0 || !is_space(text[byte - 1])) {
      aligned.reason = boundaries.reason(span.begin, "beginning");
      return aligned;
    }
  }
  for (std::size_t byte = span.end; !(last = boundaries.at(byte)); ++byte) {
    if (byte == text.size() || !is_space(text[byte])) {
      aligned.reason = boundaries.reason(span.end, "end");
      return aligned;
    }
  }
  aligned.first = *first;
  aligned.last = *last;
  if (aligned.first >= aligned.last) aligned.reason = "it has no token of its own";
  return aligned;
}

QuestionTokens tokenize_question(const Question& question, const PromptTemplate& prompt_template,
                                 const Tokenizer& tokenizer, std::optional<std::int32_t> bos_id) {
  const PromptTemplate::Prompt prompt = prompt_template.fill(question);
  const std::vector<std::int32_t> ids = tokenizer.encode(prompt.text);
  QuestionTokens tokens;
  std::size_t shared = ids.size();
  for (const std::string& candidate : question.candidates) {
    tokens.continuations.push_back(tokenizer.encode(prompt.text + " " + candidate));
    shared = std::min(shared, common_prefix(ids, tokens.continuations.back()));
  }
  for (std::size_t c = 0; c < question.candidates.size(); ++c) {
    std::vector<std::int32_t>& continuation = tokens.continuations[c];
    continuation.erase(continuation.begin(),
                       continuation.begin() + static_cast<std::ptrdiff_t>(shared));
    if (continuation.empty()) {
      throw Error(fmt::format("{}: the candidate {} adds no token to the prompt", question.name,
                              in_quotes(question.candidates[c])));
    }
    if (question.candidates[c] == question.answer) tokens.answer = c;
  }
  for (std::size_t c = 0; c < tokens.continuations.size(); ++c) {
    const auto same = std::count_if(
        tokens.continuations.begin(), tokens.continuations.end(), [&](const auto& continuation) {
          return continuation.front() == tokens.continuations[c].front();
        });
    if (same > 1) tokens.shared_first_token.push_back(c);
  }
  if (bos_id) tokens.prompt.push_back(*bos_id);
  tokens.prompt.insert(tokens.prompt.end(), ids.begin(),
                       ids.begin() + static_cast<std::ptrdiff_t>(shared));
  if (tokens.prompt.empty()) throw Error(question.name + ": the prompt has no token");
  find_support(question, prompt, ids, shared, tokenizer, tokens);
  return tokens;
}

}  // namespace toplens
