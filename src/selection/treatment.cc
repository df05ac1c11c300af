#include "selection/treatment.h"

#include <algorithm>
#include <cassert>

#include "kernels/keep_highest.h"

namespace toplens {

Treatment::Treatment(Ranking ranking, RemovalRule rule, int num_layers, int num_query_heads,
                     std::uint64_t seed)
    : ranking_(ranking),
      rule_(rule),
      num_query_heads_(num_query_heads),
      seed_(seed),
      set_sizes_(static_cast<std::size_t>(num_layers) * static_cast<std::size_t>(num_query_heads)) {
}

int Treatment::num_layers() const { return static_cast<int>(set_sizes_.size()) / num_query_heads_; }

void Treatment::set_all(int set_size) { std::fill(set_sizes_.begin(), set_sizes_.end(), set_size); }

void Treatment::set_layer(int layer, int set_size) {
  for (int head = 0; head < num_query_heads_; ++head) set({layer, head}, set_size);
}

int Treatment::first_layer() const {
  const auto first =
      std::find_if(set_sizes_.begin(), set_sizes_.end(), [](int n) { return n > 0; });
  return static_cast<int>(first - set_sizes_.begin()) / num_query_heads_;
}

std::size_t RowTreatment::apply(const Treatment& treatment, HeadId head, std::uint64_t document,
                                const QueryRows& block, std::span<const float> value_norms,
                                MatrixView<float> rows) {
  const auto set_size = static_cast<std::size_t>(treatment.set_size(head));
  if (set_size == 0) return 0;
  std::size_t without_mass = 0;
  for (std::size_t r = 0; r < block.count; ++r) {
    const std::size_t first = block.visible_begin(r), count = block.visible_end(r) - first;
    if (count <= set_size) continue;
    const std::span<float> weights = rows.row(r).subspan(first, count);
    keep(treatment, head, document, block.first_query + r, first,
         value_norms.empty() ? value_norms : value_norms.subspan(first, count), weights);
    // theory.md (29), (30)
    if (treatment.rule() == RemovalRule::renormalize && !scale_to_unit_sum(weights)) {
      ++without_mass;
    }
  }
  return without_mass;
}

void RowTreatment::keep(const Treatment& treatment, HeadId head, std::uint64_t document,
                        std::size_t query, std::size_t first_visible, std::span<const float> norms,
                        std::span<float> weights) {
  const auto set_size = static_cast<std::size_t>(treatment.set_size(head));
  switch (treatment.ranking()) {
    case Ranking::attention:
      keep_highest(weights, weights, set_size);
      return;
    case Ranking::contribution:
      assert(norms.size() == weights.size());
      scores_.resize(weights.size());
      for (std::size_t i = 0; i < weights.size(); ++i) scores_[i] = weights[i] * norms[i];
      keep_highest(weights, scores_, set_size);
      return;
    case Ranking::random: {
      const RandomRankingKey key{document, head.layer, head.query_head, static_cast<int>(query), 0};
      keep_in_order(ranker_.at_random(treatment.seed(), key, weights.size(), set_size), weights);
      return;
    }
    case Ranking::positional:
      keep_in_order(ranker_.by_position(static_cast<int>(first_visible), weights.size(), set_size),
                    weights);
      return;
  }
}

void RowTreatment::keep_in_order(std::span<const std::uint32_t> order, std::span<float> weights) {
  scores_.resize(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) scores_[i] = weights[order[i]];
  std::fill(weights.begin(), weights.end(), 0.0f);
  for (std::size_t i = 0; i < order.size(); ++i) weights[order[i]] = scores_[i];
}

}  // namespace toplens
