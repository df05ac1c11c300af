#pragma once

#include <optional>
#include <span>

#include "theory/parameters.h"
#include "theory/ranked_tokens.h"

namespace toplens {

/// theory.md (25): up to this N a separation is guaranteed even without a gap between the N-th and
/// the next contribution. None: it holds for every N <= largest_size (below the number of tokens).
/// phi_bar at N is the mean assumed cosine within S_N weighted by contributions, at least 0, |s_N|
/// that of (20), sigma that of the largest fitted size <= N.
std::optional<int> critical_size(const RankedTokens& tokens, const HeadAssumptions& assumptions,
                                 std::span<const Residuals> residuals, int largest_size,
                                 double eta = 0.05);

/// A set size and the (measured or predicted) mean F-score there.
struct SizedScore {
  int set_size = 0;
  double f_score = 0.0;
};

/// N_half: the smallest of the sizes (increasing) with F < 0.5; none: beyond the last. Sizes with F
/// NaN are passed over.
std::optional<int> half_size(std::span<const SizedScore> curve);

}  // namespace toplens
