#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "statistics/interval.h"

namespace toplens {

/// Quantile by linear interpolation between order statistics (Hyndman and Fan's type 7). Reorders
/// `values`, of which there must be at least one and no NaN.
inline double quantile(std::span<double> values, double probability) {
  const double position = probability * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(below);
  std::nth_element(values.begin(), nth, values.end());
  const double low = *nth;
  if (below + 1 == values.size()) return low;
  const double high = *std::min_element(nth + 1, values.end());
  return low + (position - static_cast<double>(below)) * (high - low);
}

/// Both quantiles that leave (1 - level) / 2 outside, as quantile() has them.
Interval central_interval(std::span<double> values, double level);

}  // namespace toplens
