#include "statistics/quantile.h"

#include <cmath>
#include <numeric>
#include <vector>

namespace toplens {
namespace {

/// quantile() where the order statistics that it needs are among the values below `limit`, or above
/// it: a tail holds few of many values, and ordering these is most of a quantile's time.
double tail_quantile(std::span<double> values, double probability, double limit, bool upper) {
  const double position = probability * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  std::vector<double> tail(values.size());
  std::size_t found = 0;
  const double sign = upper ? 1.0 : -1.0;
  for (const double value : values) {  // without a branch: which values it takes is random
    tail[found] = value;
    found += sign * value > sign * limit ? 1 : 0;
  }
  tail.resize(found);
  const std::size_t outside = values.size() - tail.size();
  const bool held = upper ? below >= outside && below + 1 < values.size() : below + 1 < tail.size();
  if (!held) return quantile(values, probability);
  const auto nth = tail.begin() + static_cast<std::ptrdiff_t>(upper ? below - outside : below);
  std::nth_element(tail.begin(), nth, tail.end());
  const double high = *std::min_element(nth + 1, tail.end());
  return *nth + (position - static_cast<double>(below)) * (high - *nth);
}

}  // namespace

Interval central_interval(std::span<double> values, double level) {
  const double tail = 0.5 * (1.0 - level);
  // A standard deviation from the mean: a sixth of normal values lies beyond.
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const double deviation = std::sqrt(squares / count);
  return {tail_quantile(values, tail, mean - deviation, false),
          tail_quantile(values, 1.0 - tail, mean + deviation, true)};
}

}  // namespace toplens
