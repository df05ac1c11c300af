#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/name_table.h"
#include "kernels/top_n.h"

namespace toplens {

/// What decides which tokens are selected first (theory.md 1).
enum class Ranking { attention, contribution, random, positional };

inline constexpr std::array<NamedKind<Ranking>, 4> kRankingNames = {{
    {Ranking::attention, "attention"},
    {Ranking::contribution, "contribution"},
    {Ranking::random, "random"},
    {Ranking::positional, "positional"},
}};

inline std::string_view name(Ranking ranking) { return name_in(kRankingNames, ranking); }
/// Throws Error listing the valid names.
inline Ranking parse_ranking(std::string_view text) {
  return parse_name(kRankingNames, "ranking", text);
}

/// Names one random ranking: the same keys give the same ranking in every run, whatever the
/// batching and the number of threads.
struct RandomRankingKey {
  std::uint64_t document = 0;
  int layer = 0;
  int query_head = 0;
  int query = 0;
  int repeat = 0;
};

/// Puts the tokens of a visible range in the order of a ranking. The results are indices into the
/// range (0 is its first token), the first `count` of the order; they live until the next call.
/// Needs count <= number of tokens.
class TokenRanker {
 public:
  /// Descending score, ties to the lower index. Scores must not be NaN.
  std::span<const std::uint32_t> by_score(std::span<const float> scores, std::size_t count);
  std::span<const std::uint32_t> by_score(std::span<const double> scores, std::size_t count);

  /// A uniformly random order, the beginning of a Fisher-Yates shuffle.
  std::span<const std::uint32_t> at_random(std::uint64_t seed, const RandomRankingKey& key,
                                           std::size_t tokens, std::size_t count);

  /// Token 0 of the document where it is visible, then the most recent first.
  std::span<const std::uint32_t> by_position(int first_visible, std::size_t tokens,
                                             std::size_t count);

 private:
  TopN top_n_;
  std::vector<std::uint32_t> order_;
};

}  // namespace toplens
