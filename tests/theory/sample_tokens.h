#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "base/random.h"
#include "theory/ranked_tokens.h"

namespace toplens::testing {

/// Tokens of one query with their ranking.
struct SampleTokens {
  std::vector<double> contributions;
  std::vector<std::uint32_t> order;

  explicit SampleTokens(std::vector<double> given) : contributions(std::move(given)) {
    order.resize(contributions.size());
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return contributions[a] > contributions[b];
    });
  }
  RankedTokens view(bool sink_visible = true) const { return {contributions, order, sink_visible}; }
};

/// exp(sd * u), u uniform with variance 1, normalised.
inline SampleTokens random_tokens(std::size_t count, double log_sd, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> weights(count);
  double sum = 0.0;
  for (double& w : weights) {
    w = std::exp(log_sd * std::sqrt(12.0) * (random.uniform() - 0.5));
    sum += w;
  }
  for (double& w : weights) w /= sum;
  return SampleTokens(std::move(weights));
}

inline HeadAssumptions sample_assumptions(double dimension = 64.0) {
  HeadAssumptions assumptions;
  assumptions.dimension = dimension;
  assumptions.norm_spread = 0.2;
  assumptions.sink_norm_ratio = 0.3;
  assumptions.similarity = {0.2, 0.4, 7.0};
  assumptions.sink_similarity = -0.1;
  return assumptions;
}

/// The assumed cosine of theory.md 5.
inline double cosine(const HeadAssumptions& assumptions, bool sink_visible, std::size_t i,
                     std::size_t k) {
  if (i == k) return 1.0;
  if (sink_visible && (i == 0 || k == 0)) return assumptions.sink_similarity;
  return assumptions.similarity(static_cast<double>(i > k ? i - k : k - i));
}

}  // namespace toplens::testing
