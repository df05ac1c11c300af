#include "theory/distribution_free.h"

#include <algorithm>

namespace toplens {

Separation distribution_free_bound(double inversions, int set_size) {
  const double n = set_size;
  Separation bound;
  bound.precision = n / (n + inversions);
  bound.recall = std::max(0.0, n - inversions) / n;  // exact for counts
  bound.f_score = 2.0 * bound.precision * bound.recall / (bound.precision + bound.recall);
  return bound;
}

}  // namespace toplens
