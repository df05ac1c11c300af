#pragma once

#include "theory/parameters.h"

namespace toplens {

/// theory.md (8): what `inversions` = GInv_N alone implies for one selection of `set_size` tokens.
/// The F-score is the one of the two bounds: F grows with both.
Separation distribution_free_bound(double inversions, int set_size);

}  // namespace toplens
