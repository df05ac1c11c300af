#include "statistics/quantile.h"

#include <cmath>
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
  // Where to look is all that mean and deviation decide: their rounding does not matter, and values
  // that are not normal only cost time.
  const auto count = static_cast<double>(values.size());
  const auto sum = [&values](auto term) {
    double sums[4] = {};  // additions need not wait for one another
    for (std::size_t i = 0; i < values.size(); ++i) sums[i % 4] += term(values[i]);
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
  };
  const double mean = sum([](double value) { return value; }) / count;
  const double squares = sum([mean](double value) { return (value - mean) * (value - mean); });
  // Of normal values 8% lie beyond 1.4 deviations on either side.
  const double deviations = tail <= 0.05 ? 1.4 : 0.0;
  const double distance = deviations * std::sqrt(squares / count);
  return {tail_quantile(values, tail, mean - distance, false),
          tail_quantile(values, 1.0 - tail, mean + distance, true)};
}

}  // namespace toplens
