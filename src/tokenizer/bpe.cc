#include "tokenizer/bpe.h"

#include <fmt/core.h>

#include <algorithm>
#include <queue>

#include <toplens/error.h>

#include "base/utf8.h"
#include "io/json_text.h"

namespace toplens {

namespace {

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

}  // namespace

Bpe::Bpe(BpeSpec spec, std::string where) : spec_(std::move(spec)), where_(std::move(where)) {
  if (spec_.unk_token) {
    unk_id_ = find(*spec_.unk_token);
    if (!unk_id_) {
      throw Error(fmt::format("{}: unk_token {} is not in the vocabulary", where_,
                              in_quotes(*spec_.unk_token)));
    }
  }
  if (spec_.byte_fallback) {
    for (int byte = 0; byte < 256; ++byte)
      byte_ids_.push_back(find(fmt::format("<0x{:02X}>", byte)));
  }
  merges_.reserve(spec_.merges.size());
  std::int32_t rank = 0;
  for (const auto& [left, right] : spec_.merges) {
    const auto left_id = find(left);
    const auto right_id = find(right);
    const auto merged_id = find(left + right);
    if (!left_id || !right_id || !merged_id) {
      const std::string& missing = !left_id ? left : !right_id ? right : left + right;
      throw Error(
          fmt::format("{}: merge {} ({} with {}) needs the token {}, which is not in "
                      "the vocabulary",
                      where_, rank, in_quotes(left), in_quotes(right), in_quotes(missing)));
    }
    // A pair named twice counts with its last rank, as in the tokenizers library.
    merges_[pair_key(*left_id, *right_id)] = Merge{rank, *merged_id};
    ++rank;
  }
  spec_.merges.clear();
  spec_.merges.shrink_to_fit();
}

std::optional<std::int32_t> Bpe::find(std::string_view token) const {
  const auto found = spec_.vocab.find(token);
  if (found == spec_.vocab.end()) return std::nullopt;
  return found->second;
}

const Bpe::Merge* Bpe::find_merge(std::int32_t left, std::int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

std::vector<std::int32_t> Bpe::characters(std::string_view word) const {
  std::vector<std::int32_t> ids;
  ids.reserve(word.size());
  bool after_unknown = false;
  for (std::size_t i = 0; i < word.size();) {
    const std::string_view character = word.substr(i, utf8_length(word[i]));
    i += character.size();
    if (const auto id = find(character)) {
      ids.push_back(*id);
      after_unknown = false;
      continue;
    }
    const auto has_byte = [this](char byte) {
      return byte_ids_[static_cast<unsigned char>(byte)].has_value();
    };
    if (spec_.byte_fallback && std::all_of(character.begin(), character.end(), has_byte)) {
      for (const char byte : character) ids.push_back(*byte_ids_[static_cast<unsigned char>(byte)]);
      after_unknown = false;
      continue;
    }
    if (!unk_id_) {
      throw Error(
          fmt::format("{}: the character {} (U+{:04X}) is not in the vocabulary and the "
                      "model has no unk_token",
                      where_, in_quotes(character), utf8_code_point(character, 0)));
    }
    if (!after_unknown || !spec_.fuse_unk) ids.push_back(*unk_id_);
    after_unknown = true;
  }
  return ids;
}

void Bpe::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (word.empty()) return;
  if (spec_.ignore_merges) {
    if (const auto id = find(word); id && excluded_.count(*id) == 0) {
      ids.push_back(*id);
      return;
    }
  }
  std::vector<std::int32_t> symbols = characters(word);
  const auto count = static_cast<std::int32_t>(symbols.size());

  // Symbols stay in place in a doubly linked list; a merged one keeps the left one's place.
  struct Candidate {
    std::int32_t rank;
    std::int32_t position;
    std::int32_t id;
    bool operator<(const Candidate& other) const {  // the top is the lowest rank, then leftmost
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  constexpr std::int32_t kNone = -1;
  std::vector<std::int32_t> previous(symbols.size());
  std::vector<std::int32_t> next(symbols.size());
  std::priority_queue<Candidate> candidates;
  const auto consider = [&](std::int32_t left) {
    if (left == kNone || next[left] == kNone) return;
    if (const Merge* merge = find_merge(symbols[left], symbols[next[left]])) {
      candidates.push({merge->rank, left, merge->id});
    }
  };
  for (std::int32_t i = 0; i < count; ++i) {
    previous[i] = i - 1;
    next[i] = i + 1 < count ? i + 1 : kNone;
  }
  for (std::int32_t i = 0; i < count; ++i) consider(i);

  constexpr std::int32_t kMerged = -1;
  while (!candidates.empty()) {
    const Candidate top = candidates.top();
    candidates.pop();
    const std::int32_t left = top.position;
    // A candidate is stale if its left symbol is gone or the pair there is another one by now.
    if (symbols[left] == kMerged || next[left] == kNone) continue;
    const std::int32_t right = next[left];
    const Merge* merge = find_merge(symbols[left], symbols[right]);
    if (merge == nullptr || merge->rank != top.rank) continue;
    symbols[left] = top.id;
    symbols[right] = kMerged;
    next[left] = next[right];
    if (next[right] != kNone) previous[next[right]] = left;
    consider(previous[left]);
    consider(left);
  }
  for (std::int32_t i = 0; i != kNone && i < count; i = next[i]) ids.push_back(symbols[i]);
}

}  // namespace toplens
