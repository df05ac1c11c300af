#include "intervention/support_observer.h"

#include <algorithm>
#include <cassert>

namespace toplens {

SupportMeasures measure_support(std::span<const float> weights, std::size_t first_visible,
                                std::span<const std::size_t> support, std::size_t recall_size) {
  SupportMeasures measures;
  const auto seen = std::lower_bound(support.begin(), support.end(), first_visible);
  const auto num_hidden = static_cast<std::size_t>(seen - support.begin());
  const std::span<const std::size_t> visible = support.subspan(num_hidden);
  const std::size_t others = weights.size() - first_visible - visible.size();
  std::size_t displaced = num_hidden * others;
  std::size_t recalled = 0;
  for (std::size_t k = 0; k < visible.size(); ++k) {
    const float weight = weights[visible[k]];
    std::size_t before = 0;  // tokens ranked before this one
    for (std::size_t j = first_visible; j < weights.size(); ++j) {
      if (weights[j] > weight || (weights[j] == weight && j < visible[k])) ++before;
    }
    std::size_t support_before = 0;
    for (const std::size_t j : visible) {
      if (weights[j] > weight || (weights[j] == weight && j < visible[k])) ++support_before;
    }
    displaced += before - support_before;
    if (before < recall_size) ++recalled;
    measures.mass += weight;
  }
  const auto count = static_cast<double>(support.size());
  measures.displacement = static_cast<double>(displaced) / count;
  measures.recall = static_cast<double>(recalled) / count;
  return measures;
}

SupportObserver::SupportObserver(std::vector<std::span<const std::size_t>> support)
    : support_(std::move(support)), measures_(support_.size()) {}

void SupportObserver::begin(const ObservedPass& pass) {
  assert(pass.lane_lengths.size() == support_.size());
  heads_ = static_cast<std::size_t>(pass.num_query_heads);
  for (std::size_t lane = 0; lane < support_.size(); ++lane) {
    if (support_[lane].empty()) continue;
    measures_[lane].resize(static_cast<std::size_t>(pass.num_layers) * heads_);
  }
}

void SupportObserver::observe(const HeadView& view, int /*worker*/) {
  const auto lane = static_cast<std::size_t>(view.lane);
  if (support_[lane].empty()) return;
  const int query = view.length - 1;
  const std::span<const float> weights =
      view.attention.row(static_cast<std::size_t>(query - view.first_query));
  measures_[lane][static_cast<std::size_t>(view.head.layer) * heads_ +
                  static_cast<std::size_t>(view.head.query_head)] =
      measure_support(weights, static_cast<std::size_t>(view.first_visible(query)), support_[lane]);
}

}  // namespace toplens
