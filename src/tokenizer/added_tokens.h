#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/normalizer.h"

namespace toplens {

/// One entry of `added_tokens` in a tokenizer.json.
struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = false;
  bool normalized = true;    ///< matched in the normalized text
  bool single_word = false;  ///< not inside a word
  bool lstrip = false;       ///< takes the blanks before it
  bool rstrip = false;       ///< takes the blanks after it
};

/// A part of a text: an added token, or text between them.
struct TextSegment {
  std::string text;
  std::optional<std::int32_t> added_id;
  bool at_start = false;  ///< begins where the whole text begins
};

/// Finds added tokens in text, leftmost and longest first. Special tokens are left out: a
/// document's text is text, so "<|endoftext|>" in it is encoded like any other characters (as
/// llama.cpp does with parse_special off, whose expected ids the tests use).
class AddedTokens {
 public:
  AddedTokens() = default;
  AddedTokens(const std::vector<AddedToken>& tokens, const Normalizer& normalizer);

  /// Splits raw text at the tokens that are matched before normalization, normalizes what is left
  /// and splits that at the others.
  std::vector<TextSegment> split(std::string_view text, const Normalizer& normalizer) const;

 private:
  /// Tokens matched in one pass, by first byte, longest first.
  class Matcher {
   public:
    Matcher() : by_first_byte_(256) {}
    void add(const AddedToken& token, const std::string& content);
    void finish();
    std::vector<TextSegment> split(const TextSegment& segment) const;

   private:
    struct Entry {
      std::string content;
      AddedToken token;
    };
    std::vector<std::vector<Entry>> by_first_byte_;
    bool empty_ = true;
  };
  Matcher raw_;
  Matcher normalized_;
};

}  // namespace toplens
