#include "theory/profile_search.h"

#include <algorithm>
#include <boost/math/tools/minima.hpp>
#include <cmath>
#include <cstdint>
#include <eigen3/Eigen/Dense>
#include <eigen3/unsupported/Eigen/FFT>
#include <limits>
#include <numbers>

namespace toplens {

namespace {

constexpr double kTwoPi = 2.0 * std::numbers::pi;
constexpr std::size_t kLeastPoints = 8;
constexpr int kGridSteps = 16;

std::size_t index(int position) { return static_cast<std::size_t>(position); }

struct Waves {
  Waves(const LogCurve& curve, double period) {
    if (period <= 0.0) return;
    for (std::size_t x = 0; x < curve.size(); ++x) {
      const double angle = kTwoPi * static_cast<double>(x) / period;
      cosine.push_back(std::cos(angle));
      sine.push_back(std::sin(angle));
    }
  }
  std::vector<double> cosine, sine;
};

/// Level p, and cos and sin from `first` on, on [1, end).
bool fit_front(const LogCurve& curve, const ProfileStructure& structure, const Waves& waves,
               AttentionProfile& profile) {
  const int end = structure.recency_start;
  Eigen::Matrix3d products = Eigen::Matrix3d::Zero();
  Eigen::Vector3d right = Eigen::Vector3d::Zero();
  std::size_t points = 0;
  for (int x = 1; x < end; ++x) {
    const double y = curve[index(x)];
    if (std::isnan(y)) continue;
    ++points;
    const bool swings = x >= structure.oscillation_start;
    const double c = swings ? waves.cosine[index(x)] : 0.0;
    const double s = swings ? waves.sine[index(x)] : 0.0;
    products(0, 0) += 1.0;
    products(0, 1) += c;
    products(0, 2) += s;
    products(1, 1) += c * c;
    products(1, 2) += c * s;
    products(2, 2) += s * s;
    right += y * Eigen::Vector3d(1.0, c, s);
  }
  if (points < kLeastPoints) return false;
  if (!structure.has_oscillation()) {
    profile.plateau_log_weight = right(0) / products(0, 0);
    return true;
  }
  products(1, 0) = products(0, 1);
  products(2, 0) = products(0, 2);
  products(2, 1) = products(1, 2);
  const Eigen::Vector3d solution = products.ldlt().solve(right);
  if (!solution.allFinite()) return false;
  profile.plateau_log_weight = solution(0);
  // B cos(x + psi) = B cos(psi) cos(x) - B sin(psi) sin(x)
  profile.amplitude = std::hypot(solution(1), solution(2));
  profile.phase = std::atan2(-solution(2), solution(1));
  profile.period = structure.period;
  return true;
}

/// q - (t - x) / mu on [b2, t], rising.
bool fit_recency(const LogCurve& curve, AttentionProfile& profile) {
  double n = 0.0, u = 0.0, uu = 0.0, y_sum = 0.0, uy = 0.0;
  for (int x = profile.recency_start; x < profile.length; ++x) {
    const double y = curve[index(x)];
    if (std::isnan(y)) continue;
    const double back = profile.length - 1 - x;
    n += 1.0;
    u += back;
    uu += back * back;
    y_sum += y;
    uy += back * y;
  }
  const double determinant = n * uu - u * u;
  if (n < kLeastRecency || !(determinant > 0.0)) return false;
  const double slope = (n * uy - u * y_sum) / determinant;
  if (!(slope < 0.0)) return false;
  profile.recency_length = -1.0 / slope;
  profile.recency_log_weight = (y_sum - slope * u) / n;
  return true;
}

std::optional<FittedStructure> fit_with(const LogCurve& curve, const ProfileStructure& structure,
                                        const Waves& waves) {
  FittedStructure fitted;
  AttentionProfile& profile = fitted.profile;
  profile.length = static_cast<int>(curve.size());
  profile.oscillation_start = structure.oscillation_start;
  profile.recency_start = structure.recency_start;
  if (!fit_front(curve, structure, waves, profile)) return std::nullopt;
  if (structure.recency_start < profile.length && !fit_recency(curve, profile)) {
    return std::nullopt;
  }
  const double in_phase = profile.amplitude * std::cos(profile.phase);
  const double quadrature = -profile.amplitude * std::sin(profile.phase);
  for (int x = 1; x < profile.length; ++x) {
    const double y = curve[index(x)];
    if (std::isnan(y)) continue;
    double expected = profile.plateau_log_weight;
    if (x >= profile.recency_start) {
      expected = profile.log_weight(x);
    } else if (x >= profile.oscillation_start) {
      expected += in_phase * waves.cosine[index(x)] + quadrature * waves.sine[index(x)];
    }
    fitted.squared_error += (y - expected) * (y - expected);
  }
  return fitted;
}

/// The best of the positions by `error_of`, first on a grid, then between the grid's neighbours.
template <typename Error>
std::optional<int> search_grid(const std::vector<int>& grid, const Error& error_of) {
  double least = std::numeric_limits<double>::infinity();
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < grid.size(); ++i) {
    const double error = error_of(grid[i]);
    if (error < least) {
      least = error;
      best = i;
    }
  }
  if (!best) return std::nullopt;
  int found = grid[*best];
  const int low = grid[*best > 0 ? *best - 1 : 0];
  const int high = grid[std::min(*best + 1, grid.size() - 1)];
  const int step = std::max(1, (std::max(low, high) - std::min(low, high)) / (2 * kGridSteps));
  for (int x = std::min(low, high); x <= std::max(low, high); x += step) {
    const double error = error_of(x);
    if (error < least) {
      least = error;
      found = x;
    }
  }
  return found;
}

/// What is left of the curve on [first, end) after a least-squares parabola; 0 where there is no
/// point. Empty with fewer than 8 points.
std::vector<double> detrended(std::span<const double> curve, int first, int end) {
  Eigen::Matrix3d products = Eigen::Matrix3d::Zero();
  Eigen::Vector3d right = Eigen::Vector3d::Zero();
  const double centre = 0.5 * (first + end - 1);
  const double scale = 2.0 / std::max(1, end - first - 1);
  std::size_t points = 0;
  for (int x = first; x < end; ++x) {
    const double y = curve[index(x)];
    if (std::isnan(y)) continue;
    ++points;
    const double u = (x - centre) * scale;
    const Eigen::Vector3d powers(1.0, u, u * u);
    products += powers * powers.transpose();
    right += y * powers;
  }
  if (points < kLeastPoints) return {};
  const Eigen::Vector3d parabola = products.ldlt().solve(right);
  std::vector<double> rest;
  for (int x = first; x < end; ++x) {
    const double y = curve[index(x)];
    const double u = (x - centre) * scale;
    rest.push_back(std::isnan(y) ? 0.0 : y - parabola(0) - u * (parabola(1) + u * parabola(2)));
  }
  return rest;
}

std::complex<double> coefficient(std::span<const double> rest, int first, double period) {
  std::complex<double> sum = 0.0;
  for (std::size_t i = 0; i < rest.size(); ++i) {
    const double angle = kTwoPi * (first + static_cast<double>(i)) / period;
    sum += rest[i] * std::complex<double>(std::cos(angle), -std::sin(angle));
  }
  return sum;
}

/// The period of the largest periodogram ordinate among those allowed; 0 where there is none.
double strongest_period(const std::vector<double>& rest) {
  const auto length = static_cast<double>(rest.size());
  std::size_t padded = 16;
  while (padded < 2 * rest.size()) padded *= 2;
  std::vector<double> signal = rest;
  signal.resize(padded, 0.0);
  std::vector<std::complex<double>> spectrum;
  Eigen::FFT<double> fft;
  fft.SetFlag(Eigen::FFT<double>::HalfSpectrum);
  fft.fwd(spectrum, signal);
  double largest = 0.0, period = 0.0;
  for (std::size_t f = 1; f < spectrum.size(); ++f) {
    const double candidate = static_cast<double>(padded) / static_cast<double>(f);
    if (candidate < kLeastPeriod || candidate * kLeastPeriods > length) continue;
    if (std::norm(spectrum[f]) > largest) {
      largest = std::norm(spectrum[f]);
      period = candidate;
    }
  }
  return period;
}

/// The period of most power within one bin of the padded transform.
double refine_period(const std::vector<double>& rest, int first, double period) {
  const auto length = static_cast<double>(rest.size());
  const double bin = 0.5 / length;
  const double low = std::max(1.0 / period - bin, kLeastPeriods / length);
  const double high = std::min(1.0 / period + bin, 1.0 / kLeastPeriod);
  if (!(low < high)) return period;
  constexpr int kBits = 20;
  std::uintmax_t iterations = 40;
  const auto found = boost::math::tools::brent_find_minima(
      [&](double frequency) { return -std::norm(coefficient(rest, first, 1.0 / frequency)); }, low,
      high, kBits, iterations);
  return 1.0 / found.first;
}

}  // namespace

std::optional<FittedStructure> fit_structure(const LogCurve& curve,
                                             const ProfileStructure& structure) {
  return fit_with(curve, structure,
                  Waves(curve, structure.has_oscillation() ? structure.period : 0.0));
}

double squared_error(const LogCurve& curve, const AttentionProfile& profile) {
  double sum = 0.0;
  for (std::size_t x = 1; x < curve.size(); ++x) {
    if (std::isnan(curve[x])) continue;
    const double error = curve[x] - profile.log_weight(static_cast<int>(x));
    sum += error * error;
  }
  return sum;
}

std::optional<ProfileStructure> search_recency(const LogCurve& curve, ProfileStructure structure) {
  const int length = static_cast<int>(curve.size());
  const bool oscillates = structure.has_oscillation();
  const int earliest = oscillates
                           ? structure.oscillation_start +
                                 static_cast<int>(std::ceil(kLeastPeriods * structure.period))
                           : 1 + kLeastPlateau;
  std::vector<int> grid;
  for (double recency = kLeastRecency; recency <= length - earliest;
       recency = std::max(recency + 1.0, std::floor(recency * 1.2))) {
    grid.push_back(length - static_cast<int>(recency));
  }
  if (grid.empty()) return std::nullopt;
  const Waves waves(curve, oscillates ? structure.period : 0.0);
  const auto with_start = [&](int start) {
    ProfileStructure candidate = structure;
    candidate.recency_start = start;
    if (!oscillates) candidate.oscillation_start = start;
    return candidate;
  };
  const std::optional<int> start = search_grid(grid, [&](int x) {
    const std::optional<FittedStructure> fitted = fit_with(curve, with_start(x), waves);
    return fitted ? fitted->squared_error : std::numeric_limits<double>::infinity();
  });
  if (!start) return std::nullopt;
  return with_start(*start);
}

std::optional<ProfileStructure> search_oscillation(const LogCurve& curve,
                                                   ProfileStructure structure) {
  const int end = structure.recency_start;
  const int first = 1 + kLeastPlateau;
  const int last = end - static_cast<int>(kLeastPeriods * kLeastPeriod);
  if (last < first) return std::nullopt;
  double least = std::numeric_limits<double>::infinity();
  std::optional<ProfileStructure> best;
  std::vector<int> grid;
  for (int step = 0; step <= kGridSteps; ++step) {
    const int start = first + (last - first) * step / kGridSteps;
    if (grid.empty() || start > grid.back()) grid.push_back(start);
  }
  const auto consider = [&](int start, double period, const Waves& waves) {
    if (end - start < kLeastPeriods * period) return;
    const ProfileStructure candidate{start, end, period};
    const std::optional<FittedStructure> fitted = fit_with(curve, candidate, waves);
    if (fitted && fitted->squared_error < least) {
      least = fitted->squared_error;
      best = candidate;
    }
  };
  for (const int start : grid) {
    const std::vector<double> rest = detrended(curve, start, end);
    const double period = rest.empty() ? 0.0 : strongest_period(rest);
    if (period > 0.0) consider(start, period, Waves(curve, period));
  }
  if (!best) return std::nullopt;
  // The period more exactly, then the start with it.
  const int around = best->oscillation_start;
  const double period = refine_period(detrended(curve, around, end), around, best->period);
  const Waves waves(curve, period);
  const int gap = std::max(1, (last - first) / kGridSteps);
  const int step = std::max(1, gap / kGridSteps);
  for (int start = std::max(first, around - gap); start <= std::min(last, around + gap);
       start += step) {
    consider(start, period, waves);
  }
  return best;
}

std::optional<std::complex<double>> fourier_coefficient(std::span<const double> curve, int first,
                                                        int end, double period) {
  const std::vector<double> rest = detrended(curve, first, end);
  if (rest.empty()) return std::nullopt;
  return coefficient(rest, first, period) / static_cast<double>(rest.size());
}

}  // namespace toplens
