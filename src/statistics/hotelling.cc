#include "statistics/hotelling.h"

#include <boost/math/distributions/fisher_f.hpp>
#include <cmath>
#include <limits>

namespace toplens {

double hotelling_p_value(std::span<const std::complex<double>> sample) {
  constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();
  if (sample.size() < 3) return kUndefined;
  const auto n = static_cast<double>(sample.size());
  std::complex<double> mean = 0.0;
  for (const std::complex<double>& z : sample) mean += z / n;
  double xx = 0.0, xy = 0.0, yy = 0.0;
  for (const std::complex<double>& z : sample) {
    const std::complex<double> e = z - mean;
    xx += e.real() * e.real();
    xy += e.real() * e.imag();
    yy += e.imag() * e.imag();
  }
  const double determinant = xx * yy - xy * xy;
  if (!(determinant > 0.0)) return kUndefined;
  // n mean' (S / (n - 1))^-1 mean
  const double x = mean.real(), y = mean.imag();
  const double t_squared =
      n * (n - 1.0) * (yy * x * x - 2.0 * xy * x * y + xx * y * y) / determinant;
  const double f = t_squared * (n - 2.0) / (2.0 * (n - 1.0));
  if (!std::isfinite(f)) return 0.0;
  return boost::math::cdf(boost::math::complement(boost::math::fisher_f(2.0, n - 2.0), f));
}

}  // namespace toplens
