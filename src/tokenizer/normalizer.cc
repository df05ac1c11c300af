#include "tokenizer/normalizer.h"

#include <fmt/core.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include <toplens/error.h>

namespace toplens {

namespace {

std::string to_unicode_form(std::string text, UnicodeForm form) {
  // ASCII is the same in every form.
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(text.begin(), text.end(), is_ascii)) return text;
  int options = UTF8PROC_STABLE;
  options |=
      form == UnicodeForm::nfc || form == UnicodeForm::nfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == UnicodeForm::nfkc || form == UnicodeForm::nfkd) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* result = nullptr;
  const utf8proc_ssize_t length = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
      static_cast<utf8proc_ssize_t>(text.size()), &result, static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(result, &std::free);
  if (length < 0) {
    throw Error(std::string("Unicode normalization failed: ") + utf8proc_errmsg(length));
  }
  return std::string(reinterpret_cast<const char*>(result), static_cast<std::size_t>(length));
}

// A real normalizer lengthens a text threefold at most (a blank to U+2581). More than this is a
// file made to exhaust the memory.
constexpr std::size_t kMaxGrowth = 64;
constexpr std::size_t kGrowthAllowance = 1 << 20;

struct ApplyStep {
  std::string text;
  std::size_t max_bytes;
  std::string operator()(UnicodeForm form) { return to_unicode_form(std::move(text), form); }
  std::string operator()(const PrependStep& step) {
    return text.empty() ? std::string() : step.text + text;
  }
  std::string operator()(const ReplaceStep& step) {
    return replace_all(step.pattern, text, step.content, max_bytes);
  }
};

}  // namespace

std::string replace_all(const Regex& pattern, const std::string& text, const std::string& content,
                        std::size_t max_bytes) {
  const std::vector<ByteRange> matches = pattern.find_all(text);
  if (text.size() + matches.size() * content.size() > max_bytes) {
    throw Error(
        fmt::format("{}: replacing {} matches in a text of {} bytes would make it longer than {} "
                    "bytes",
                    pattern.where(), matches.size(), text.size(), max_bytes));
  }
  std::string result;
  std::size_t done = 0;
  for (const ByteRange match : matches) {
    result.append(text, done, match.begin - done);
    result += content;
    done = match.end;
  }
  result.append(text, done);
  return result;
}

std::string Normalizer::apply(std::string text) const {
  const std::size_t max_bytes = text.size() * kMaxGrowth + kGrowthAllowance;
  for (const NormalizerStep& step : steps_) {
    text = std::visit(ApplyStep{std::move(text), max_bytes}, step);
  }
  return text;
}

}  // namespace toplens
