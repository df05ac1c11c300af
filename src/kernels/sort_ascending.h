#pragma once

#include <cstdint>
#include <span>

#include "base/aligned_vector.h"

namespace toplens {

/// Sorts a few hundred floats by counting, for each, those below it: no branch depends on the
/// values, which is what std::sort's time goes into. Above 512 values it is std::sort. (Highway's
/// VQSort would be faster, but leaves arrays unsorted below AVX-512 in Debian 12's release 1.0.3.)
/// Keeps scratch memory between calls.
class FloatSorter {
 public:
  /// Ascending, in place; no NaN. Returns, until the next call, the place of each value, equal
  /// ones the first of theirs.
  std::span<const std::int32_t> sort(std::span<float> values);

 private:
  AlignedVector<float> padded_;
  AlignedVector<std::int32_t> below_;
};

}  // namespace toplens
