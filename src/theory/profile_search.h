#pragma once

#include <complex>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "theory/attention_profile.h"

namespace toplens {

inline constexpr int kLeastPlateau = 8;
inline constexpr int kLeastRecency = 4;
inline constexpr double kLeastPeriod = 4.0;
inline constexpr double kLeastPeriods = 3.0;

/// Log-weights by position; NaN where there is none. Position 0 belongs to the sink.
using LogCurve = std::vector<double>;

/// The breakpoints and the period of theory.md (12); the other parameters follow linearly.
struct ProfileStructure {
  int oscillation_start = 0;  ///< b1; equal to recency_start without oscillation
  int recency_start = 0;      ///< b2; the curve's length without recency
  double period = 0.0;        ///< T0

  bool has_oscillation() const { return oscillation_start < recency_start; }
};

struct FittedStructure {
  AttentionProfile profile;    ///< without the sink and the residual sds
  double squared_error = 0.0;  ///< over positions >= 1
};

/// Least squares of (12) on the curve. Nothing where a phase has too few points or the recency does
/// not rise towards the query.
std::optional<FittedStructure> fit_structure(const LogCurve& curve,
                                             const ProfileStructure& structure);

/// Sum over positions >= 1 of the squared difference.
double squared_error(const LogCurve& curve, const AttentionProfile& profile);

/// The structure with the best recency_start on a grid; with an oscillation, its start and period
/// stay. Nothing where no recency fits.
std::optional<ProfileStructure> search_recency(const LogCurve& curve, ProfileStructure structure);

/// The structure with the best oscillation before its recency_start: the period from the
/// periodogram of the quadratically detrended curve, its start on a grid. Nothing where the segment
/// is too short for three periods.
std::optional<ProfileStructure> search_oscillation(const LogCurve& curve,
                                                   ProfileStructure structure);

/// Coefficient of exp(2 pi i x / period) in the curve on [first, end), after a least-squares
/// parabola is taken away. Nothing with fewer than 8 points.
std::optional<std::complex<double>> fourier_coefficient(std::span<const double> curve, int first,
                                                        int end, double period);

}  // namespace toplens
