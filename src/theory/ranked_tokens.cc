#include "theory/ranked_tokens.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "kernels/decayed_sums.h"

namespace toplens {

std::vector<double> assumed_contributions(std::span<const double> weights,
                                          const HeadAssumptions& assumptions, bool sink_visible) {
  std::vector<double> contributions(weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const bool sink = sink_visible && i == 0;
    contributions[i] =
        weights[i] * assumptions.mean_norm * (sink ? assumptions.sink_norm_ratio : 1.0);
  }
  return contributions;
}

void SimilaritySums::compute(const RankedTokens& tokens, const SimilarityDecay& similarity,
                             double sink_similarity, std::span<const std::size_t> set_sizes) {
  assert(tokens.order.size() == tokens.size());
  assert(set_sizes.empty() || set_sizes.back() < tokens.size());
  tokens_ = tokens.size();
  const std::size_t sizes = set_sizes.size();
  const std::size_t choices = (sizes + 7) / 8 * 8;
  others_.resize(sizes * tokens_);
  squared_norms_.resize(sizes);
  ranks_.resize(tokens_);
  for (std::size_t r = 0; r < tokens_; ++r) {
    ranks_[tokens.order[r]] = static_cast<std::uint32_t>(r);
  }
  const std::size_t first = tokens.sink_visible ? 1 : 0;
  set_sizes_.assign(choices, 0.0);
  std::copy(set_sizes.begin(), set_sizes.end(), set_sizes_.begin());
  by_token_.resize(tokens_ * choices);
  DecayedSums input;
  input.contributions = tokens.contributions.data() + first;
  input.ranks = ranks_.data() + first;
  input.tokens = tokens_ - first;
  input.set_sizes = set_sizes_.data();
  input.choices = choices;
  input.constant = similarity.constant;
  input.amplitude = similarity.amplitude;
  input.step = similarity.present() ? std::exp(-1.0 / similarity.length) : 0.0;
  decayed_sums(input, by_token_.data() + first * choices);

  if (tokens.sink_visible) {
    // The sink and the others meet with its own similarity, at any distance.
    const double sink = sink_similarity * tokens.contributions[0];
    for (std::size_t n = 0; n < sizes; ++n) {
      double total = 0.0;
      for (std::size_t r = 0; r < set_sizes[n]; ++r) {
        if (!tokens.is_sink(r)) total += tokens.contribution_at(r);
      }
      by_token_[n] = sink_similarity * total;
      if (ranks_[0] >= set_sizes[n]) continue;
      for (std::size_t i = 1; i < tokens_; ++i) by_token_[i * choices + n] += sink;
    }
  }
  for (std::size_t r = 0; r < tokens_; ++r) {
    const double* const row = by_token_.data() + tokens.order[r] * choices;
    for (std::size_t n = 0; n < sizes; ++n) others_[n * tokens_ + r] = row[n];
  }
  for (std::size_t n = 0; n < sizes; ++n) {
    double sum = 0.0;
    for (std::size_t r = 0; r < set_sizes[n]; ++r) {
      const double w = tokens.contribution_at(r);
      sum += w * (w + others_[n * tokens_ + r]);
    }
    squared_norms_[n] = std::max(sum, 0.0);
  }
}

}  // namespace toplens
