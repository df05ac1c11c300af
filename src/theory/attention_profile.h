#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/random.h"

namespace toplens {

/// theory.md (12): the mean log-weight of the final query by position, in phases. The query stands
/// at position t = length - 1.
struct AttentionProfile {
  int length = 0;                   ///< L at which it holds
  double sink_log_weight = 0.0;     ///< position 0
  double plateau_log_weight = 0.0;  ///< p, for 1 <= x < oscillation_start
  int oscillation_start = 0;        ///< b1; equal to recency_start where there is no oscillation
  double amplitude = 0.0;           ///< B
  double period = 0.0;              ///< T0 in tokens; 0 without oscillation
  double phase = 0.0;               ///< psi in radians
  int recency_start = 0;            ///< b2; equal to length where there is no recency
  double recency_log_weight = 0.0;  ///< q, the log-weight at the query
  double recency_length = 1.0;      ///< mu in tokens
  double residual_sd = 0.0;         ///< of log a about the profile, tokens after the sink
  double sink_residual_sd = 0.0;    ///< of log a_0

  double log_weight(int position) const;
};

/// a = softmax(profile + residual sd * normal), theory.md 5 (`--weights profile`).
std::vector<double> draw_profile_weights(const AttentionProfile& profile, Random& random);

/// exp(log_weights) normalised to sum 1, in place; the largest must be finite.
void normalise_log_weights(std::span<double> log_weights);

}  // namespace toplens
