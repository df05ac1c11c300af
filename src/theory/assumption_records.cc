#include "theory/assumption_records.h"

#include <algorithm>
#include <cassert>
#include <limits>

namespace toplens {

std::size_t AssumptionLayout::competitors(std::size_t set_size, std::size_t visible) {
  assert(set_size < visible);
  return std::min(std::max(kLeastCompetitors, set_size), visible - set_size);
}

std::size_t AssumptionLayout::sampled_others(std::size_t set_size, std::size_t visible) {
  assert(set_size < visible);
  return std::min(kSampledOthers, visible - set_size);
}

std::size_t AssumptionLayout::selected_offset(std::size_t n) const {
  std::size_t offset = 0;
  for (std::size_t i = 0; i < n; ++i) offset += set_size(i);
  return offset;
}

std::size_t AssumptionLayout::competitor_offset(std::size_t n) const {
  std::size_t offset = 0;
  for (std::size_t i = 0; i < n; ++i) offset += competitors(set_size(i), length);
  return offset;
}

std::size_t AssumptionLayout::other_offset(std::size_t n) const {
  std::size_t offset = 0;
  for (std::size_t i = 0; i < n; ++i) offset += sampled_others(set_size(i), length);
  return offset;
}

std::vector<int> defined_set_sizes(std::span<const int> sizes, std::size_t length) {
  std::vector<int> defined;
  for (const int size : sizes) {
    if (static_cast<std::size_t>(size) < length) defined.push_back(size);
  }
  std::sort(defined.begin(), defined.end());
  return defined;
}

namespace {

struct FieldSizes {
  explicit FieldSizes(const RecordedShape& shape) {
    const AssumptionLayout& layout = shape.layout;
    const std::size_t rows = shape.documents * shape.layers;
    tokens = rows * shape.heads * layout.length;
    kv_heads = rows * shape.kv_heads;
    kv_tokens = kv_heads * layout.length;
    lags = kv_heads * layout.lags();
    rankings = rows * shape.heads * layout.rankings.size();
    sizes = rankings * layout.set_sizes.size();
    selected = rankings * layout.selected_places();
    competitors = rankings * layout.competitor_places();
    others = rankings * layout.other_places();
  }
  std::size_t tokens, kv_heads, kv_tokens, lags, rankings, sizes, selected, competitors, others;
};

}  // namespace

AssumptionRecords make_assumption_records(const RecordedShape& shape) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const FieldSizes sizes(shape);
  AssumptionRecords records;
  records.shape = shape;
  records.first_visible.assign(shape.layers, 0);
  records.weights.assign(sizes.tokens, 0.0f);
  records.value_norms.assign(sizes.kv_tokens, kNan);
  records.lag_cosines.assign(sizes.lags, kNan);
  records.sink_cosines.assign(sizes.kv_heads, kNan);
  records.effective_ranks.assign(sizes.kv_heads, kNan);
  records.aggregate_norms.assign(sizes.sizes, double{kNan});
  records.sink_aggregate_cosines.assign(sizes.sizes, kNan);
  records.sink_aggregate_norms.assign(sizes.sizes, double{kNan});
  records.near_duplicates.assign(sizes.sizes, kNan);
  records.selected_cosines.assign(sizes.selected, kNan);
  records.competitor_cosines.assign(sizes.competitors, kNan);
  records.other_cosines.assign(sizes.others, kNan);
  return records;
}

std::uint64_t bytes_per_document(const RecordedShape& shape) {
  RecordedShape one = shape;
  one.documents = 1;
  const FieldSizes sizes(one);
  return 4 * (sizes.tokens + sizes.kv_tokens + sizes.lags + 2 * sizes.kv_heads + sizes.selected +
              sizes.competitors + sizes.others) +
         24 * sizes.sizes;
}

std::size_t AssumptionView::defined_sizes(std::size_t layer) const {
  const std::vector<int>& sizes = shape.layout.set_sizes;
  return static_cast<std::size_t>(
      std::lower_bound(sizes.begin(), sizes.end(), static_cast<int>(visible(layer))) -
      sizes.begin());
}

std::span<const float> AssumptionView::weights_of(std::size_t document, std::size_t layer,
                                                  std::size_t head) const {
  const std::size_t row = (document * shape.layers + layer) * shape.heads + head;
  return weights.subspan(row * shape.layout.length + first_token(layer), visible(layer));
}

std::span<const float> AssumptionView::norms_of(std::size_t document, std::size_t layer,
                                                std::size_t kv_head) const {
  return value_norms.subspan(
      kv_index(document, layer, kv_head) * shape.layout.length + first_token(layer),
      visible(layer));
}

std::span<const float> AssumptionView::lag_cosines_of(std::size_t document, std::size_t layer,
                                                      std::size_t kv_head) const {
  return lag_cosines.subspan(kv_index(document, layer, kv_head) * shape.layout.lags(),
                             AssumptionLayout::lags(visible(layer)));
}

SizeRecord AssumptionView::size_of(std::size_t document, std::size_t layer, std::size_t head,
                                   std::size_t ranking, std::size_t n) const {
  assert(n < defined_sizes(layer));
  const AssumptionLayout& layout = shape.layout;
  const std::size_t row =
      ((document * shape.layers + layer) * shape.heads + head) * layout.rankings.size() + ranking;
  const std::size_t cell = row * layout.set_sizes.size() + n;
  const std::size_t seen = visible(layer);
  SizeRecord record;
  record.set_size = layout.set_size(n);
  record.aggregate_norm = aggregate_norms[cell];
  record.sink_cosine = double{sink_aggregate_cosines[cell]};
  record.sink_aggregate_norm = sink_aggregate_norms[cell];
  record.near_duplicates = double{near_duplicates[cell]};
  record.selected = selected_cosines.subspan(
      row * layout.selected_places() + layout.selected_offset(n), record.set_size);
  record.competitors =
      competitor_cosines.subspan(row * layout.competitor_places() + layout.competitor_offset(n),
                                 AssumptionLayout::competitors(record.set_size, seen));
  record.others = other_cosines.subspan(row * layout.other_places() + layout.other_offset(n),
                                        AssumptionLayout::sampled_others(record.set_size, seen));
  return record;
}

AssumptionView view_of(const AssumptionRecords& records) {
  AssumptionView view;
  view.shape = records.shape;
  view.first_visible = records.first_visible;
  view.weights = records.weights;
  view.value_norms = records.value_norms;
  view.lag_cosines = records.lag_cosines;
  view.sink_cosines = records.sink_cosines;
  view.effective_ranks = records.effective_ranks;
  view.aggregate_norms = records.aggregate_norms;
  view.sink_aggregate_cosines = records.sink_aggregate_cosines;
  view.sink_aggregate_norms = records.sink_aggregate_norms;
  view.near_duplicates = records.near_duplicates;
  view.selected_cosines = records.selected_cosines;
  view.competitor_cosines = records.competitor_cosines;
  view.other_cosines = records.other_cosines;
  return view;
}

void recorded_contributions(std::span<const float> weights, std::span<const float> norms,
                            std::vector<double>& contributions) {
  assert(weights.size() == norms.size());
  contributions.resize(weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    contributions[i] = double{weights[i]} * double{norms[i]};
  }
}

std::span<const std::uint32_t> recorded_order(TokenRanker& ranker, const AssumptionLayout& layout,
                                              Ranking ranking, std::uint64_t document,
                                              std::size_t layer, std::size_t head,
                                              std::size_t first_visible,
                                              std::span<const float> weights,
                                              std::span<const double> contributions) {
  switch (ranking) {
    case Ranking::attention:
      return ranker.by_score(weights, weights.size());
    case Ranking::contribution:
      return ranker.by_score(contributions, contributions.size());
    case Ranking::positional:
      return ranker.by_position(static_cast<int>(first_visible), weights.size(), weights.size());
    case Ranking::random:
      break;
  }
  const RandomRankingKey key{document, static_cast<int>(layer), static_cast<int>(head),
                             static_cast<int>(layout.length) - 1, 0};
  return ranker.at_random(layout.seed, key, weights.size(), weights.size());
}

}  // namespace toplens
