#include "tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <fmt/core.h>

#include <toplens/error.h>

#include "base/utf8.h"

namespace toplens {

namespace {

constexpr std::size_t kMaxPatternBytes = 1 << 16;
// PCRE2's own default is 10 million steps per match; a run of blanks as long as the text must not
// exceed it, hence the part that grows with the text.
constexpr std::uint32_t kMatchLimit = 10'000'000;
constexpr std::uint32_t kMatchLimitPerByte = 8;
constexpr std::uint32_t kHeapLimitKibibytes = 64 * 1024;
constexpr std::size_t kJitStackBytes = 1 << 20;

struct Free {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

std::string pcre2_message(int code) {
  PCRE2_UCHAR buffer[256];
  const int length = pcre2_get_error_message(code, buffer, sizeof buffer);
  return length < 0 ? fmt::format("PCRE2 error {}", code)
                    : std::string(reinterpret_cast<const char*>(buffer), length);
}

}  // namespace

struct Regex::Code {
  Owned<pcre2_code> compiled;
};

std::string translate_oniguruma(std::string_view pattern, const std::string& where) {
  const auto refuse = [&](std::string_view what) {
    throw Error(
        fmt::format("{}: the pattern uses {}, which is not supported because regular "
                    "expression libraries disagree about it",
                    where, what));
  };
  std::string result;
  bool in_class = false;
  bool after_interval = false;  // the last element was {n,m}
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    const char next = i + 1 < pattern.size() ? pattern[i + 1] : '\0';
    const bool follows_interval = after_interval;
    after_interval = false;
    if (c == '\\' && i + 1 < pattern.size()) {
      ++i;
      switch (next) {
        // PCRE2 counts U+180E as a space, which Unicode's White_Space does not.
        case 's':
          result += "\\p{White_Space}";
          continue;
        case 'S':
          result += "\\P{White_Space}";
          continue;
        case 'w':
        case 'W':
        case 'b':
        case 'B':
          refuse("\\w, \\W, \\b or \\B");
          break;
        case 'h':
        case 'H':
          refuse("\\h or \\H");
          break;
        case 'Q':
        case 'E':
          refuse("\\Q or \\E");
          break;
        default:
          break;
      }
      result += c;
      result += next;
      if ((next == 'p' || next == 'P' || next == 'x') && i + 1 < pattern.size() &&
          pattern[i + 1] == '{') {
        const std::size_t close = pattern.find('}', i);
        if (close == std::string_view::npos) continue;  // PCRE2 reports it
        result += pattern.substr(i + 1, close - i);
        i = close;
      }
      continue;
    }
    if (in_class) {
      if (c == '[') refuse("a character class or [:name:] inside a character class");
      if (c == '&' && next == '&') refuse("&& inside a character class");
      if (c == ']') in_class = false;
    } else if (c == '[') {
      in_class = true;
      result += c;
      if (next == '^') {
        result += next;
        ++i;
      }
      // A bracket right after the opening one is an ordinary character.
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') {
        result += "\\]";
        ++i;
      }
      continue;
    } else if (c == '}') {
      after_interval = true;
    } else if (c == '+' && follows_interval) {
      refuse("{n,m}+");
    } else if (c == '(' && next == '*') {
      refuse("(*verbs)");
    }
    result += c;
  }
  return result;
}

Regex::Regex(std::string_view pattern, unsigned options, const std::string& where) : where_(where) {
  if (pattern.size() > kMaxPatternBytes) {
    throw Error(fmt::format("{}: the pattern has {} bytes, at most {} are supported", where,
                            pattern.size(), kMaxPatternBytes));
  }
  const Owned<pcre2_compile_context> context(pcre2_compile_context_create(nullptr));
  if (!context) throw std::bad_alloc();
  int error = 0;
  PCRE2_SIZE offset = 0;
  Owned<pcre2_code> compiled(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()),
                                           pattern.size(), options | PCRE2_UTF, &error, &offset,
                                           context.get()));
  if (!compiled) {
    throw Error(fmt::format("{}: the pattern does not compile at byte {}: {}", where, offset,
                            pcre2_message(error)));
  }
  // Where the machine or the build has no JIT, PCRE2 interprets: slower, same matches.
  pcre2_jit_compile(compiled.get(), PCRE2_JIT_COMPLETE);
  code_ = std::make_shared<const Code>(Code{std::move(compiled)});
}

Regex Regex::compile(std::string_view pattern, const std::string& where) {
  // Oniguruma's ^ and $ match at line ends; \C could split a character.
  return Regex(translate_oniguruma(pattern, where),
               PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, where);
}

Regex Regex::literal(std::string_view text, const std::string& where) {
  return Regex(text, PCRE2_LITERAL, where);
}

std::vector<ByteRange> Regex::find_all(std::string_view text) const {
  const Owned<pcre2_match_data> data(
      pcre2_match_data_create_from_pattern(code_->compiled.get(), nullptr));
  const Owned<pcre2_match_context> context(pcre2_match_context_create(nullptr));
  const Owned<pcre2_jit_stack> stack(pcre2_jit_stack_create(32 * 1024, kJitStackBytes, nullptr));
  if (!data || !context) throw std::bad_alloc();
  const std::size_t headroom = std::min<std::size_t>(text.size(), 256u << 20);
  pcre2_set_match_limit(context.get(),
                        kMatchLimit + kMatchLimitPerByte * static_cast<std::uint32_t>(headroom));
  pcre2_set_heap_limit(context.get(), kHeapLimitKibibytes);
  if (stack) pcre2_jit_stack_assign(context.get(), nullptr, stack.get());

  std::vector<ByteRange> matches;
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
  std::size_t start = 0;
  std::size_t last_end = 0;
  while (start <= text.size()) {
    const int result =
        pcre2_match(code_->compiled.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                    start, PCRE2_NO_UTF_CHECK, data.get(), context.get());
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) {
      throw Error(
          fmt::format("{}: matching the pattern failed at byte {} of a text of {} bytes: {}",
                      where_, start, text.size(), pcre2_message(result)));
    }
    const ByteRange match{bounds[0], bounds[1]};
    if (match.begin < last_end || match.end < match.begin) {  // \K inside a lookaround
      throw Error(where_ + ": the pattern matches backwards, which is not supported");
    }
    matches.push_back(match);
    last_end = match.end;
    start = match.end;
    if (match.begin == match.end) {
      if (start == text.size()) break;
      start += utf8_length(text[start]);
    }
  }
  return matches;
}

}  // namespace toplens
