#include "intervention/support_observer.h"

#include <algorithm>
#include <cassert>

namespace toplens {

SupportMeasures measure_support(std::span<const float> weights, std::size_t first_visible,
                                const SupportTokens& tokens, std::size_t recall_size) {
  const auto attention = [&](std::size_t token) {
    return token >= first_visible ? weights[token] : 0.0f;
  };
  std::vector<float> others;
  for (std::size_t j = tokens.context_first; j < tokens.context_end; ++j) {
    if (!std::binary_search(tokens.support.begin(), tokens.support.end(), j)) {
      others.push_back(attention(j));
    }
  }
  SupportMeasures measures;
  std::size_t displaced = 0, recalled = 0;
  for (const std::size_t token : tokens.support) {
    const float weight = attention(token);
    for (const float other : others) displaced += other >= weight ? 1 : 0;
    measures.mass += double{weight};
    if (token < first_visible) continue;
    std::size_t before = 0;
    for (std::size_t j = first_visible; j < weights.size(); ++j) {
      before += weights[j] > weight || (weights[j] == weight && j < token) ? 1 : 0;
    }
    recalled += before < recall_size ? 1 : 0;
  }
  const auto count = static_cast<double>(tokens.support.size());
  measures.displacement = static_cast<double>(displaced) / count;
  measures.recall = static_cast<double>(recalled) / count;
  return measures;
}

SupportObserver::SupportObserver(std::vector<SupportTokens> tokens)
    : tokens_(std::move(tokens)), measures_(tokens_.size()) {}

void SupportObserver::begin(const ObservedPass& pass) {
  assert(pass.lane_lengths.size() == tokens_.size());
  heads_ = static_cast<std::size_t>(pass.num_query_heads);
  for (std::size_t lane = 0; lane < tokens_.size(); ++lane) {
    if (tokens_[lane].support.empty()) continue;
    measures_[lane].resize(static_cast<std::size_t>(pass.num_layers) * heads_);
  }
}

void SupportObserver::observe(const HeadView& view, int /*worker*/) {
  const auto lane = static_cast<std::size_t>(view.lane);
  if (tokens_[lane].support.empty()) return;
  const int query = view.length - 1;
  const std::span<const float> weights =
      view.attention.row(static_cast<std::size_t>(query - view.first_query));
  measures_[lane][static_cast<std::size_t>(view.head.layer) * heads_ +
                  static_cast<std::size_t>(view.head.query_head)] =
      measure_support(weights, static_cast<std::size_t>(view.first_visible(query)), tokens_[lane]);
}

}  // namespace toplens
