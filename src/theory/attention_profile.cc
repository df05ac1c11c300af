#include "theory/attention_profile.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/normal_draws.h"

namespace toplens {

double AttentionProfile::log_weight(int position) const {
  if (position == 0) return sink_log_weight;
  if (position >= recency_start) {
    return recency_log_weight - static_cast<double>(length - 1 - position) / recency_length;
  }
  if (position >= oscillation_start) {
    return plateau_log_weight +
           amplitude * std::cos(2.0 * std::numbers::pi * position / period + phase);
  }
  return plateau_log_weight;
}

std::vector<double> draw_profile_weights(const AttentionProfile& profile, Random& random) {
  const auto length = static_cast<std::size_t>(profile.length);
  std::vector<float> normal(length);
  normal_draws(random, normal);
  std::vector<double> weights(length);
  for (int x = 0; x < profile.length; ++x) {
    const auto i = static_cast<std::size_t>(x);
    const double sd = x == 0 ? profile.sink_residual_sd : profile.residual_sd;
    weights[i] = profile.log_weight(x) + sd * double{normal[i]};
  }
  normalise_log_weights(weights);
  return weights;
}

void normalise_log_weights(std::span<double> log_weights) {
  const double largest = *std::max_element(log_weights.begin(), log_weights.end());
  double sum = 0.0;
  for (double& x : log_weights) sum += x = std::exp(x - largest);
  for (double& x : log_weights) x /= sum;
}

}  // namespace toplens
