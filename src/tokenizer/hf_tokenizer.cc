#include "tokenizer/hf_tokenizer.h"

#include <fmt/core.h>

#include <algorithm>

#include <toplens/error.h>

#include "base/utf8.h"
#include "io/json_text.h"

namespace toplens {

namespace {

// Pre-tokens repeat (words); longer ones hardly do. The cache lives for one encode() call, so that
// encode() needs no lock.
constexpr std::size_t kMaxCachedBytes = 64;
constexpr std::size_t kMaxCachedWords = 1 << 18;

}  // namespace

HfTokenizer::HfTokenizer(HfTokenizerSpec spec, const std::string& where)
    : where_(where),
      source_(std::move(spec.source)),
      added_list_(spec.added_tokens),
      normalizer_(std::move(spec.normalizer)),
      added_tokens_(spec.added_tokens, normalizer_),
      pre_tokenizer_(std::move(spec.pre_tokenizer)),
      model_(std::move(spec.model), where),
      decoder_(std::move(spec.decoder)) {
  byte_fallback_ = model_.find("<0x00>").has_value();
  std::int32_t max_id = -1;
  for (const auto& [content, id] : model_.vocab()) {
    const auto [existing, inserted] = tokens_.try_emplace(id, Token{content, false, false});
    if (!inserted) {
      throw Error(fmt::format("{}: model.vocab gives id {} to both {} and {}", where_, id,
                              in_quotes(existing->second.content), in_quotes(content)));
    }
    max_id = std::max(max_id, id);
  }
  for (const AddedToken& added : added_list_) {
    const auto in_model = model_.find(added.content);
    if (in_model && *in_model != added.id) {
      throw Error(fmt::format("{}: added_tokens gives {} the id {}, model.vocab gives it {}",
                              where_, in_quotes(added.content), added.id, *in_model));
    }
    Token& token = tokens_.try_emplace(added.id, Token{added.content, true, false}).first->second;
    if (token.content != added.content) {
      throw Error(fmt::format("{}: id {} is both {} and the added token {}", where_, added.id,
                              in_quotes(token.content), in_quotes(added.content)));
    }
    token.added = true;
    token.special = token.special || added.special;
    added_ids_.try_emplace(added.content, added.id);
    if (added.special) model_.exclude_whole_word(added.id);
    max_id = std::max(max_id, added.id);
  }
  if (max_id < 0) throw Error(where_ + ": the vocabulary is empty");
  vocab_size_ = max_id + 1;
}

std::vector<std::int32_t> HfTokenizer::encode(std::string_view text) const {
  if (const auto offset = find_invalid_utf8(text)) {
    throw Error(fmt::format("text to be tokenized is no valid UTF-8 at byte {}", *offset));
  }
  std::vector<std::int32_t> ids;
  StringMap<std::vector<std::int32_t>> cache;
  for (TextSegment& segment : added_tokens_.split(text, normalizer_)) {
    if (segment.added_id) {
      ids.push_back(*segment.added_id);
      continue;
    }
    for (std::string& word : pre_tokenizer_.apply(std::move(segment.text), segment.at_start)) {
      if (word.size() > kMaxCachedBytes) {
        model_.encode(word, ids);
        continue;
      }
      if (const auto cached = cache.find(word); cached != cache.end()) {
        ids.insert(ids.end(), cached->second.begin(), cached->second.end());
        continue;
      }
      const std::size_t first = ids.size();
      model_.encode(word, ids);
      if (cache.size() < kMaxCachedWords) {
        cache.emplace(
            std::move(word),
            std::vector<std::int32_t>(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end()));
      }
    }
  }
  return ids;
}

const HfTokenizer::Token& HfTokenizer::token(std::int32_t id) const {
  const auto found = tokens_.find(id);
  if (found == tokens_.end()) {
    throw Error(fmt::format("{}: token id {} is not in the vocabulary (its ids are below {})",
                            where_, id, vocab_size_));
  }
  return found->second;
}

std::string HfTokenizer::decode(std::span<const std::int32_t> ids) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const std::int32_t id : ids) {
    const Token& token = this->token(id);
    if (!token.special) tokens.push_back(token.content);
  }
  return decoder_.decode(std::move(tokens));
}

std::string HfTokenizer::piece(std::int32_t id) const {
  const Token& token = this->token(id);
  return printable_utf8(token.added ? token.content : decoder_.decode_piece(token.content));
}

std::string HfTokenizer::description() const {
  const char* kind = pre_tokenizer_.is_byte_level() ? "byte-level BPE"
                     : byte_fallback_               ? "BPE with byte fallback"
                                                    : "BPE";
  return fmt::format("{} ({})", source_, kind);
}

std::optional<std::int32_t> HfTokenizer::find_token(std::string_view content) const {
  if (const auto added = added_ids_.find(content); added != added_ids_.end()) return added->second;
  return model_.find(content);
}

}  // namespace toplens
