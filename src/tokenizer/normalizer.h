#pragma once

#include <string>
#include <variant>
#include <vector>

#include "tokenizer/regex.h"

namespace toplens {

enum class UnicodeForm { nfc, nfd, nfkc, nfkd };

/// Puts `text` before anything that is not empty.
struct PrependStep {
  std::string text;
};
struct ReplaceStep {
  Regex pattern;
  std::string content;
};
using NormalizerStep = std::variant<UnicodeForm, PrependStep, ReplaceStep>;

/// The `normalizer` of a tokenizer.json: its steps in order, Sequences flattened; none for null.
class Normalizer {
 public:
  explicit Normalizer(std::vector<NormalizerStep> steps = {}) : steps_(std::move(steps)) {}
  std::string apply(std::string text) const;

 private:
  std::vector<NormalizerStep> steps_;
};

/// `text` with every match of `pattern` replaced by `content`. Throws Error if the result would
/// have more than `max_bytes`.
std::string replace_all(const Regex& pattern, const std::string& text, const std::string& content,
                        std::size_t max_bytes);

}  // namespace toplens
