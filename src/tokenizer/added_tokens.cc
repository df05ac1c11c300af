#include "tokenizer/added_tokens.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/utf8.h"

namespace toplens {

namespace {

bool is_space(std::int32_t code_point) {
  if ((code_point >= 9 && code_point <= 13) || code_point == 0x85) return true;
  const auto category = utf8proc_category(code_point);
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

bool is_word(std::int32_t code_point) {
  switch (utf8proc_category(code_point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

/// Start of the character that ends before `end` (> 0).
std::size_t character_before(std::string_view text, std::size_t end) {
  --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return end;
}

bool stands_alone(std::string_view text, ByteRange match) {
  const bool word_before =
      match.begin > 0 && is_word(utf8_code_point(text, character_before(text, match.begin)));
  const bool word_after = match.end < text.size() && is_word(utf8_code_point(text, match.end));
  return !word_before && !word_after;
}

}  // namespace

void AddedTokens::Matcher::add(const AddedToken& token, const std::string& content) {
  if (content.empty()) return;
  by_first_byte_[static_cast<unsigned char>(content.front())].push_back({content, token});
  empty_ = false;
}

void AddedTokens::Matcher::finish() {
  for (auto& entries : by_first_byte_) {
    std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return a.content.size() > b.content.size();
    });
  }
}

std::vector<TextSegment> AddedTokens::Matcher::split(const TextSegment& segment) const {
  if (empty_ || segment.added_id) return {segment};
  const std::string_view text = segment.text;
  std::vector<TextSegment> segments;
  std::size_t done = 0;
  const auto emit = [&](std::size_t begin, std::size_t end, std::optional<std::int32_t> id) {
    if (begin == end) return;
    segments.push_back(
        {std::string(text.substr(begin, end - begin)), id, segment.at_start && begin == 0});
  };
  for (std::size_t i = 0; i < text.size();) {
    const auto& entries = by_first_byte_[static_cast<unsigned char>(text[i])];
    const auto entry = std::find_if(entries.begin(), entries.end(), [&](const Entry& candidate) {
      return text.compare(i, candidate.content.size(), candidate.content) == 0;
    });
    if (entry == entries.end()) {
      ++i;
      continue;
    }
    ByteRange match{i, i + entry->content.size()};
    i = match.end;
    if (entry->token.single_word && !stands_alone(text, match)) continue;
    while (entry->token.lstrip && match.begin > done) {
      const std::size_t before = character_before(text, match.begin);
      if (!is_space(utf8_code_point(text, before))) break;
      match.begin = before;
    }
    while (entry->token.rstrip && match.end < text.size() &&
           is_space(utf8_code_point(text, match.end))) {
      match.end += utf8_length(text[match.end]);
    }
    emit(done, match.begin, std::nullopt);
    emit(match.begin, match.end, entry->token.id);
    done = match.end;
    i = match.end;
  }
  emit(done, text.size(), std::nullopt);
  return segments;
}

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens, const Normalizer& normalizer) {
  for (const AddedToken& token : tokens) {
    if (token.special) continue;
    if (token.normalized) {
      normalized_.add(token, normalizer.apply(token.content));
    } else {
      raw_.add(token, token.content);
    }
  }
  raw_.finish();
  normalized_.finish();
}

std::vector<TextSegment> AddedTokens::split(std::string_view text,
                                            const Normalizer& normalizer) const {
  std::vector<TextSegment> segments;
  if (text.empty()) return segments;
  for (TextSegment& raw : raw_.split({std::string(text), std::nullopt, true})) {
    if (raw.added_id) {
      segments.push_back(std::move(raw));
      continue;
    }
    raw.text = normalizer.apply(std::move(raw.text));
    for (TextSegment& segment : normalized_.split(raw)) segments.push_back(std::move(segment));
  }
  return segments;
}

}  // namespace toplens
