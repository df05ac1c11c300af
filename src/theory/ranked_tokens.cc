#include "theory/ranked_tokens.h"

#include <algorithm>
#include <cassert>
#include <cmath>

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
  others_.resize(sizes * tokens_);
  squared_norms_.resize(sizes);
  ranks_.resize(tokens_);
  for (std::size_t r = 0; r < tokens_; ++r) {
    ranks_[tokens.order[r]] = static_cast<std::uint32_t>(r);
  }
  const double b = similarity.constant;
  const double amplitude = similarity.amplitude;
  const double step = similarity.present() ? std::exp(-1.0 / similarity.length) : 0.0;
  const std::size_t first = tokens.sink_visible ? 1 : 0;

  // Sums over the tokens passed so far, the current one not among them.
  totals_.assign(sizes, 0.0);
  decayed_.assign(sizes, 0.0);
  for (std::size_t i = first; i < tokens_; ++i) {
    const std::size_t rank = ranks_[i];
    const double w = tokens.contributions[i];
    for (std::size_t n = 0; n < sizes; ++n) {
      others_[n * tokens_ + rank] = b * totals_[n] + amplitude * decayed_[n];
      const double own = rank < set_sizes[n] ? w : 0.0;
      totals_[n] += own;
      decayed_[n] = step * (decayed_[n] + own);
    }
    // decayed_ holds exp(-1 / lambda) for a lag of 1 when the next token reads it.
  }
  if (tokens.sink_visible) {
    const std::size_t rank = ranks_[0];
    for (std::size_t n = 0; n < sizes; ++n) {
      others_[n * tokens_ + rank] = sink_similarity * totals_[n];
    }
  }
  totals_.assign(sizes, 0.0);
  decayed_.assign(sizes, 0.0);
  const double from_sink = tokens.sink_visible ? sink_similarity * tokens.contributions[0] : 0.0;
  const std::size_t sink_rank = tokens.sink_visible ? ranks_[0] : tokens_;
  for (std::size_t i = tokens_; i-- > first;) {
    const std::size_t rank = ranks_[i];
    const double w = tokens.contributions[i];
    for (std::size_t n = 0; n < sizes; ++n) {
      others_[n * tokens_ + rank] +=
          b * totals_[n] + amplitude * decayed_[n] + (sink_rank < set_sizes[n] ? from_sink : 0.0);
      const double own = rank < set_sizes[n] ? w : 0.0;
      totals_[n] += own;
      decayed_[n] = step * (decayed_[n] + own);
    }
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
