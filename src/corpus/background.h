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

/// The sentences of a text: up to a full stop, question or exclamation mark, with the quotes and
/// brackets that close behind it, before white space. White space within becomes one space.
std::vector<std::string> split_sentences(std::string_view text);

/// Mixes the context of questions with sentences of another text, so that what supports the answer
/// stays and what competes with it grows. Deterministic: the same seed, index and inputs give the
/// same context.
class BackgroundMixer {
 public:
  /// `where` names the text in messages. The tokenizer must outlive the mixer.
  BackgroundMixer(std::vector<std::string> sentences, const std::string& where,
                  const Tokenizer& tokenizer, std::uint64_t seed);

  /// A context of at most `tokens` tokens (no BOS) that as many background sentences as fit are
  /// mixed into: consecutive ones from a drawn beginning on, leaving out those too long for what is
  /// left. The context's own sentences keep their order and support spans their text; between them
  /// the background is put at drawn places. `index` is the question's number in its file. Throws
  /// Error where the context alone is longer, or the text runs out.
  Question mix(const Question& question, std::size_t tokens, std::uint64_t index);

 private:
  std::vector<std::size_t> choose(std::size_t budget, std::size_t first);
  std::size_t count_tokens(std::size_t sentence);

  std::vector<std::string> sentences_;
  std::string where_;
  const Tokenizer& tokenizer_;
  std::uint64_t seed_;
  std::vector<std::optional<std::size_t>> tokens_;  // of each sentence, once counted
};

}  // namespace toplens
