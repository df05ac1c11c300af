#pragma once

#include <cstddef>
#include <limits>

#include "theory/parameters.h"
#include "theory/ranked_tokens.h"

namespace toplens {

/// theory.md (26) for one query, set size N >= 2 and ranking whose sink is selected.
struct SinkThreshold {
  /// rho*: the sink counts for recall iff the common sink similarity is above it. NaN where no
  /// token of T has a denominator > 0.
  double similarity = std::numeric_limits<double>::quiet_NaN();
  /// g_0 and max_T g with the assumed rho_0.
  double sink_score = 0.0;
  double largest_unselected_score = 0.0;
  /// Tokens of T left out since their denominator is not positive (w_j >= sum of w over S\0).
  std::size_t left_out = 0;
};

/// Needs the sink among the first `set_size` of the order, 2 <= set_size < tokens. (The assumed
/// contributions; rho_0 enters the scores alone.)
SinkThreshold sink_threshold(const RankedTokens& tokens, const HeadAssumptions& assumptions,
                             std::size_t set_size);

}  // namespace toplens
