#pragma once

#include <cstddef>
#include <optional>

#include "theory/assumption_records.h"
#include "theory/attention_profile.h"
#include "theory/fit_norms.h"
#include "theory/fit_reason.h"

namespace toplens {

/// One phase of theory.md (12), absent where `reason` is not `estimated`.
struct ProfilePhase {
  FitReason reason = FitReason::too_few_tokens;
  int begin = 0, end = 0;              ///< positions [begin, end) of the visible range
  double mass = kNotEstimable;         ///< sum of the documents' mean weights
  double mass_spread = kNotEstimable;  ///< sd of the documents' own masses
  double residual_sd = kNotEstimable;  ///< of log a about the profile
  /// sd between documents of the mean distance of log a from the profile.
  double level_spread = kNotEstimable;
  double mean_absolute_error = kNotEstimable;  ///< of the mean log-weight by position
  double r_squared = kNotEstimable;            ///< of it, about the phase's own mean
  /// Share of the squared error on even documents that the phase, fitted on odd ones, takes away;
  /// NaN for sink and plateau, which are not tested.
  double held_out_gain = kNotEstimable;

  bool present() const { return reason == FitReason::estimated; }
};

/// A3 of theory.md 3.
struct ProfileFit {
  FitReason reason = FitReason::estimated;
  std::optional<AttentionProfile> profile;  ///< where `reason` is `estimated`
  ProfilePhase sink, plateau, oscillation, recency;
  double oscillation_p_value = kNotEstimable;  ///< Hotelling's T^2 on even documents
  double mean_absolute_error = kNotEstimable, r_squared = kNotEstimable;  ///< positions >= 1
  std::size_t documents = 0;
  std::size_t log_weights = 0;   ///< in the least squares
  std::size_t zero_weights = 0;  ///< left out of the logarithms
};

ProfileFit fit_profile(const AssumptionView& records, std::size_t layer, std::size_t head);

}  // namespace toplens
