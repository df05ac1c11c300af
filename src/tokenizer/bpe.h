#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace toplens {

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>()(text);
  }
};
template <typename Value>
using StringMap = std::unordered_map<std::string, Value, StringHash, std::equal_to<>>;

/// The `model` of a tokenizer.json of type BPE.
struct BpeSpec {
  StringMap<std::int32_t> vocab;
  std::vector<std::pair<std::string, std::string>> merges;  ///< in order of priority
  std::optional<std::string> unk_token;
  bool fuse_unk = false;       ///< neighbouring unknown characters become one unk token
  bool byte_fallback = false;  ///< unknown characters become <0xNN> tokens
  bool ignore_merges = false;  ///< a pre-token that is in the vocabulary is that token
};

/// Byte-pair encoding of one pre-token.
class Bpe {
 public:
  /// `where` names the file in messages. Throws Error on a merge that names no token of the
  /// vocabulary.
  Bpe(BpeSpec spec, std::string where);

  /// Appends the ids of `word` (valid UTF-8): the pair that comes first in the merges is merged
  /// first, in O(n log n) for n characters. Throws Error on a character that neither the
  /// vocabulary, nor byte fallback, nor an unk token covers.
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const;

  std::optional<std::int32_t> find(std::string_view token) const;
  const StringMap<std::int32_t>& vocab() const { return spec_.vocab; }
  /// Tokens that `ignore_merges` must not produce from text: the special ones.
  void exclude_whole_word(std::int32_t id) { excluded_.insert(id); }

 private:
  struct Merge {
    std::int32_t rank = 0;
    std::int32_t id = 0;
  };
  std::vector<std::int32_t> characters(std::string_view word) const;
  const Merge* find_merge(std::int32_t left, std::int32_t right) const;

  BpeSpec spec_;
  std::string where_;
  std::optional<std::int32_t> unk_id_;
  std::vector<std::optional<std::int32_t>> byte_ids_;  // [256] with byte fallback, else empty
  std::unordered_map<std::uint64_t, Merge> merges_;    // by (left id, right id)
  std::unordered_set<std::int32_t> excluded_;
};

}  // namespace toplens
