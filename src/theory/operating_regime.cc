#include "theory/operating_regime.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace toplens {

namespace {

double sigma_at(std::span<const Residuals> residuals, int set_size) {
  double sigma = std::numeric_limits<double>::quiet_NaN();
  for (const Residuals& size : residuals) {
    if (std::isnan(size.sigma)) continue;
    if (std::isnan(sigma) || size.set_size <= set_size) sigma = size.sigma;
  }
  return sigma;
}

}  // namespace

std::optional<int> critical_size(const RankedTokens& tokens, const HeadAssumptions& assumptions,
                                 std::span<const Residuals> residuals, int largest_size,
                                 double eta) {
  const std::size_t length = tokens.size();
  std::vector<double> similarity(length);
  for (std::size_t lag = 0; lag < length; ++lag) {
    similarity[lag] = assumptions.similarity(static_cast<double>(lag));
  }
  const std::size_t end = std::min(length, static_cast<std::size_t>(largest_size) + 1);
  double cross = 0.0;    // |s|^2 - sum of squares: sum over ordered pairs of w_i w_k C_ik
  double squares = 0.0;  // sum of w^2
  double pairs = 0.0;    // sum over ordered pairs of w_i w_k
  double sum = 0.0;
  for (std::size_t n = 1; n < end; ++n) {
    const std::size_t last = tokens.order[n - 1];
    const double w = tokens.contribution_at(n - 1);
    double inner = 0.0;
    for (std::size_t r = 0; r + 1 < n; ++r) {
      const std::size_t other = tokens.order[r];
      const bool sink = tokens.sink_visible && (last == 0 || other == 0);
      const double cosine = sink ? assumptions.sink_similarity
                                 : similarity[last > other ? last - other : other - last];
      inner += tokens.contribution_at(r) * cosine;
    }
    cross += 2.0 * w * inner;
    squares += w * w;
    pairs += 2.0 * w * sum;
    sum += w;
    if (n < 2) continue;
    const double mean_cosine = pairs > 0.0 ? std::clamp(cross / pairs, 0.0, 1.0) : 0.0;
    const double aggregate_norm = std::sqrt(std::max(0.0, squares + cross));
    const double z = std::sqrt(2.0 * std::log(static_cast<double>(length - n) / eta));
    const double sigma = sigma_at(residuals, static_cast<int>(n));
    const double signal = w * (1.0 - mean_cosine) * std::sqrt(assumptions.dimension);
    if (signal < z * sigma * aggregate_norm) return static_cast<int>(n) - 1;
  }
  return std::nullopt;
}

std::optional<int> half_size(std::span<const SizedScore> curve) {
  for (const SizedScore& size : curve) {
    if (size.f_score < 0.5) return size.set_size;
  }
  return std::nullopt;
}

}  // namespace toplens
