#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tokenizer/regex.h"

namespace toplens {

/// What a Split does with the matches of its pattern.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

struct SplitStep {
  Regex pattern;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;  ///< what lies between the matches counts as match, and the other way round
};

/// Bytes to the byte-level alphabet, after splitting by GPT-2's pattern where `pattern` is given.
struct ByteLevelStep {
  bool add_prefix_space = false;
  std::optional<Regex> pattern;
};

/// Spaces to `replacement`, one prepended according to the scheme, then cut before each.
struct MetaspaceStep {
  enum class Prepend { always, first, never };
  std::string replacement;
  Prepend prepend = Prepend::always;
  std::optional<Regex> split;  ///< the replacement as a pattern; none: the text stays whole
};
using PreTokenizerStep = std::variant<SplitStep, ByteLevelStep, MetaspaceStep>;

/// The pattern that GPT-2 has built in.
inline constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// The `pre_tokenizer` of a tokenizer.json: its steps in order, Sequences flattened; none for null.
class PreTokenizer {
 public:
  explicit PreTokenizer(std::vector<PreTokenizerStep> steps = {}) : steps_(std::move(steps)) {}
  /// The pre-tokens of `text`; `at_start`: it stands at the beginning of the whole text.
  std::vector<std::string> apply(std::string text, bool at_start) const;
  /// True if a step writes bytes in the byte-level alphabet.
  bool is_byte_level() const;

 private:
  std::vector<PreTokenizerStep> steps_;
};

}  // namespace toplens
