#pragma once

#include <span>

namespace toplens {

/// Mean of a non-empty range.
double mean(std::span<const double> values);
/// Standard deviation with n - 1; NaN below two values. Equal values give exactly 0.
double standard_deviation(std::span<const double> values);
/// Quantile of Student's t distribution.
double student_quantile(double probability, double degrees_of_freedom);

}  // namespace toplens
