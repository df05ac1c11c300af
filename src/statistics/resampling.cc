#include "statistics/resampling.h"

#include <cassert>

#include "base/random.h"
#include "statistics/quantile.h"

namespace toplens {

Resampling::Resampling(std::size_t observations, std::size_t resamples, std::uint64_t seed)
    : observations_(observations), counts_(observations * resamples) {
  assert(observations > 0 && resamples > 0);
  Random random(seed, {observations, resamples});
  for (std::size_t r = 0; r < resamples; ++r) {
    for (std::size_t draw = 0; draw < observations; ++draw) {
      counts_[r * observations + random.below(observations)] += 1.0;
    }
  }
}

Interval percentile_interval(std::vector<double> values, double level) {
  return central_interval(values, level);
}

}  // namespace toplens
