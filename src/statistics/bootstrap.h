#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "statistics/interval.h"

namespace toplens {

/// Percentile bootstrap intervals of means (Efron 1979): the observations are drawn with
/// replacement `resamples` times. How often each observation is drawn is decided once, so that
/// thousands of means over the same number of observations share the draws.
class BootstrapMeans {
 public:
  /// The draws depend on (observations, resamples, seed) alone. Needs resamples > 0 and
  /// 0 < level < 1.
  explicit BootstrapMeans(std::size_t observations, std::size_t resamples = 2000,
                          double level = 0.95, std::uint64_t seed = 2027);

  /// Interval of the mean of `values` (as many as observations, no NaN). A single observation
  /// says nothing about its spread: no interval.
  std::optional<Interval> interval(std::span<const double> values);

  /// The mean of `values` in every resample, the same documents in the n-th of all calls; none for
  /// a single observation. Valid until the next call.
  std::span<const double> resampled_means(std::span<const double> values);

 private:
  void resample(std::span<const double> values);

  std::size_t observations_;
  std::size_t resamples_;
  double level_;
  std::vector<double> counts_;  // [observation, resample]
  std::vector<double> means_;   // [resample], scratch
};

/// The same for one mean alone.
std::optional<Interval> bootstrap_mean_interval(std::span<const double> values,
                                                std::size_t resamples = 2000, double level = 0.95,
                                                std::uint64_t seed = 2027);

}  // namespace toplens
