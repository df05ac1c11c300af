#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <toplens/array_view.h>
#include <toplens/observer.h>

#include "base/name_table.h"
#include "kernels/attention_rows.h"
#include "selection/ranking.h"

namespace toplens {

/// What happens to the weights outside the top N: they become 0, and then either nothing more
/// (theory.md (29)) or the others are divided by their sum (theory.md (30)).
enum class RemovalRule { remove, renormalize };

inline constexpr std::array<NamedKind<RemovalRule>, 2> kRemovalRuleNames = {{
    {RemovalRule::remove, "delete"},
    {RemovalRule::renormalize, "renormalize"},
}};

inline std::string_view name(RemovalRule rule) { return name_in(kRemovalRuleNames, rule); }
/// Throws Error listing the valid names.
inline RemovalRule parse_removal_rule(std::string_view text) {
  return parse_name(kRemovalRuleNames, "rule", text);
}

/// "Keep the top N tokens" in some or all heads of a model, at every causal query, from the current
/// activations. Queries with at most N visible tokens stay as they are.
class Treatment {
 public:
  /// A treatment of a model of `num_layers` layers with `num_query_heads` heads each that treats no
  /// head yet. `seed` decides the random rankings.
  Treatment(Ranking ranking, RemovalRule rule, int num_layers, int num_query_heads,
            std::uint64_t seed);

  Ranking ranking() const { return ranking_; }
  RemovalRule rule() const { return rule_; }
  std::uint64_t seed() const { return seed_; }
  int num_layers() const;
  int num_query_heads() const { return num_query_heads_; }

  /// N of a head; 0: not treated. Needs set_size >= 0.
  void set(HeadId head, int set_size) { set_sizes_[index(head)] = set_size; }
  void set_all(int set_size);
  void set_layer(int layer, int set_size);
  int set_size(HeadId head) const { return set_sizes_[index(head)]; }
  /// The first layer with a treated head: before it a treated lane is the untreated one. The number
  /// of layers where no head is treated.
  int first_layer() const;

 private:
  std::size_t index(HeadId head) const {
    return static_cast<std::size_t>(head.layer * num_query_heads_ + head.query_head);
  }

  Ranking ranking_;
  RemovalRule rule_;
  int num_query_heads_;
  std::uint64_t seed_;
  std::vector<int> set_sizes_;  // layer-major
};

/// Applies treatments to attention rows. Keeps scratch memory: one object for each worker.
class RowTreatment {
 public:
  /// Changes the weights of one head's queries in place. `value_norms` holds |v| of every token of
  /// the lane and is read for the contribution ranking alone; `document` keys the random rankings
  /// (RandomRankingKey). Returns the number of rows whose kept weights sum to 0 under
  /// RemovalRule::renormalize: they stay 0.
  std::size_t apply(const Treatment& treatment, HeadId head, std::uint64_t document,
                    const QueryRows& block, std::span<const float> value_norms,
                    MatrixView<float> rows);

 private:
  void keep(const Treatment& treatment, HeadId head, std::uint64_t document, std::size_t query,
            std::size_t first_visible, std::span<const float> norms, std::span<float> weights);
  void keep_in_order(std::span<const std::uint32_t> order, std::span<float> weights);

  TokenRanker ranker_;
  std::vector<float> scores_;
};

}  // namespace toplens
