#include "statistics/bootstrap.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/random.h"
#include "statistics/quantile.h"

namespace toplens {

BootstrapMeans::BootstrapMeans(std::size_t observations, std::size_t resamples, double level,
                               std::uint64_t seed)
    : observations_(observations), resamples_(resamples), level_(level) {
  assert(observations > 0 && resamples > 0 && level > 0.0 && level < 1.0);
  if (observations == 1) return;
  counts_.resize(observations * resamples);
  means_.resize(resamples);
  Random random(seed, {observations, resamples});
  for (std::size_t r = 0; r < resamples; ++r) {
    for (std::size_t draw = 0; draw < observations; ++draw) {
      counts_[random.below(observations) * resamples + r] += 1.0;
    }
  }
}

std::span<const double> BootstrapMeans::resampled_means(std::span<const double> values) {
  assert(values.size() == observations_);
  assert(std::none_of(values.begin(), values.end(), [](double x) { return std::isnan(x); }));
  if (observations_ == 1) return {};
  resample(values);
  const double scale = 1.0 / static_cast<double>(observations_);
  for (double& mean : means_) mean = values[0] + mean * scale;
  return means_;
}

/// Sums of deviations from the first value: equal values then give exactly that value.
void BootstrapMeans::resample(std::span<const double> values) {
  std::fill(means_.begin(), means_.end(), 0.0);
  for (std::size_t i = 1; i < observations_; ++i) {
    const double deviation = values[i] - values[0];
    const double* counts = counts_.data() + i * resamples_;
    for (std::size_t r = 0; r < resamples_; ++r) means_[r] += counts[r] * deviation;
  }
}

std::optional<Interval> BootstrapMeans::interval(std::span<const double> values) {
  assert(values.size() == observations_);
  assert(std::none_of(values.begin(), values.end(), [](double x) { return std::isnan(x); }));
  if (observations_ == 1) return std::nullopt;
  resample(values);
  const double scale = 1.0 / static_cast<double>(observations_);
  const Interval sums = central_interval(means_, level_);
  return Interval{values[0] + sums.low * scale, values[0] + sums.high * scale};
}

std::optional<Interval> bootstrap_mean_interval(std::span<const double> values,
                                                std::size_t resamples, double level,
                                                std::uint64_t seed) {
  return BootstrapMeans(values.size(), resamples, level, seed).interval(values);
}

}  // namespace toplens
