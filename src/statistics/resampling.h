#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "statistics/bootstrap.h"

namespace toplens {

/// Bootstrap draws for statistics that are no mean: how often each observation is drawn in each
/// resample, the same draws as BootstrapMeans'.
class Resampling {
 public:
  /// The draws depend on (observations, resamples, seed) alone. Needs observations > 0 and
  /// resamples > 0.
  explicit Resampling(std::size_t observations, std::size_t resamples = 2000,
                      std::uint64_t seed = 2027);

  std::size_t observations() const { return observations_; }
  std::size_t resamples() const { return counts_.size() / observations_; }
  /// [observations], summing to their number.
  std::span<const double> counts(std::size_t resample) const {
    return std::span(counts_).subspan(resample * observations_, observations_);
  }

 private:
  std::size_t observations_;
  std::vector<double> counts_;  // [resample, observation]
};

/// The percentile interval of a statistic's values over the resamples; not empty, no NaN.
Interval percentile_interval(std::vector<double> values, double level = 0.95);

}  // namespace toplens
