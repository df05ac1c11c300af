#include "statistics/wilson.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include <boost/math/distributions/normal.hpp>

namespace toplens {

Interval wilson_interval(std::size_t successes, std::size_t trials, double level) {
  assert(trials > 0 && successes <= trials);
  const double n = static_cast<double>(trials);
  const double p = static_cast<double>(successes) / n;
  const double z = boost::math::quantile(boost::math::normal(), 0.5 + level / 2);
  const double centre = p + z * z / (2 * n);
  const double half = z * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  const double scale = 1 + z * z / n;
  // Exactly 0 and 1 at the ends, which rounding would miss.
  return {successes == 0 ? 0.0 : std::max(0.0, (centre - half) / scale),
          successes == trials ? 1.0 : std::min(1.0, (centre + half) / scale)};
}

}  // namespace toplens
