#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace toplens {

struct ByteRange {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// A regular expression of a tokenizer.json over UTF-8 text, with Unicode classes. These files are
/// written for Oniguruma; what PCRE2 would read differently is translated or refused.
class Regex {
 public:
  /// `where` names the file and key in messages. Throws Error on a pattern that does not compile or
  /// that the two libraries understand differently.
  static Regex compile(std::string_view pattern, const std::string& where);
  /// Matches exactly this text.
  static Regex literal(std::string_view text, const std::string& where);

  /// All matches from left to right, without overlap, in text known to be valid UTF-8. An empty
  /// match moves the search on by one character. Throws Error if matching exceeds its limits.
  std::vector<ByteRange> find_all(std::string_view text) const;
  /// The file and key it comes from.
  const std::string& where() const { return where_; }

 private:
  struct Code;
  Regex(std::string_view pattern, unsigned options, const std::string& where);
  std::shared_ptr<const Code> code_;
  std::string where_;
};

/// `pattern` as PCRE2 must read it to mean what Oniguruma means.
std::string translate_oniguruma(std::string_view pattern, const std::string& where);

}  // namespace toplens
