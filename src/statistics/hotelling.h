#pragma once

#include <complex>
#include <span>

namespace toplens {

/// p value of Hotelling's one-sample T^2 test (1931) that the mean of complex numbers, taken as
/// points of the plane, is 0. NaN below 3 numbers or where they lie on a line.
double hotelling_p_value(std::span<const std::complex<double>> sample);

}  // namespace toplens
