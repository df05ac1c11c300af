#include "theory/exponential_decay.h"

#include <algorithm>
#include <array>
#include <boost/math/tools/minima.hpp>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <limits>

namespace toplens {

namespace {

constexpr std::size_t kGridSize = 64;
constexpr double kShortest = 0.5;

double squared_error(const DecayMoments& m, double constant, double amplitude) {
  return m.y_y - 2.0 * (amplitude * m.y_basis + constant * m.y) +
         amplitude * amplitude * m.basis_basis + 2.0 * amplitude * constant * m.basis +
         constant * constant * m.weight;
}

DecayMoments moments_at(const LagCurve& curve, std::span<const double> basis) {
  DecayMoments m;
  for (std::size_t k = 0; k < basis.size(); ++k) {
    const double n = curve.pairs[k];
    if (n == 0.0) continue;
    const double ne = n * basis[k];
    const double y = curve.means[k];
    m.weight += n;
    m.basis += ne;
    m.basis_basis += ne * basis[k];
    m.y += n * y;
    m.y_basis += ne * y;
    m.y_y += n * y * y;
  }
  return m;
}

}  // namespace

void DecayMoments::add(const DecayMoments& other, double times) {
  weight += times * other.weight;
  basis += times * other.basis;
  basis_basis += times * other.basis_basis;
  y += times * other.y;
  y_basis += times * other.y_basis;
  y_y += times * other.y_y;
}

double ExponentialDecay::operator()(double lag) const {
  return constant + amplitude * std::exp(-lag / length);
}

ExponentialDecay fit_amplitude(const DecayMoments& m, double length) {
  constexpr double kSlack = 1e-12;
  const double first = std::exp(-1.0 / length);
  ExponentialDecay best;
  best.length = length;
  best.squared_error = std::numeric_limits<double>::infinity();
  const auto consider = [&](double constant, double amplitude) {
    if (!(std::abs(constant) <= 1.0 + kSlack) ||
        !(std::abs(constant + amplitude * first) <= 1.0 + kSlack)) {
      return;
    }
    const double error = squared_error(m, constant, amplitude);
    if (error < best.squared_error) {
      best.constant = constant;
      best.amplitude = amplitude;
      best.squared_error = error;
    }
  };
  const double determinant = m.weight * m.basis_basis - m.basis * m.basis;
  if (determinant > 0.0) {
    const double amplitude = (m.weight * m.y_basis - m.basis * m.y) / determinant;
    consider((m.y - amplitude * m.basis) / m.weight, amplitude);
  }
  if (std::isfinite(best.squared_error)) return best;
  // On the border of the admissible set: its edges, then its corners.
  for (const double edge : {-1.0, 1.0}) {
    consider(edge, (m.y_basis - edge * m.basis) / m.basis_basis);
    // b + A first = edge: least squares of y - edge on e - first.
    const double square = m.basis_basis - 2.0 * first * m.basis + first * first * m.weight;
    if (square > 0.0) {
      const double product = m.y_basis - first * m.y - edge * m.basis + edge * first * m.weight;
      const double amplitude = product / square;
      consider(edge - amplitude * first, amplitude);
    }
    for (const double at_first : {-1.0, 1.0}) consider(edge, (at_first - edge) / first);
  }
  return best;
}

DecayGrid::DecayGrid(std::size_t lags) : lags_(lags) {
  assert(lags >= 1);
  const double factor =
      std::log(2.0 * static_cast<double>(lags) / kShortest) / static_cast<double>(kGridSize - 1);
  for (std::size_t g = 0; g < kGridSize; ++g) {
    lengths_.push_back(kShortest * std::exp(factor * static_cast<double>(g)));
  }
  for (const double length : lengths_) {
    for (std::size_t k = 1; k <= lags; ++k) {
      basis_.push_back(std::exp(-static_cast<double>(k) / length));
    }
  }
}

std::vector<DecayMoments> DecayGrid::moments(const LagCurve& curve) const {
  assert(curve.means.size() == lags_ && curve.pairs.size() == lags_);
  std::vector<DecayMoments> moments;
  for (std::size_t g = 0; g < size(); ++g) {
    moments.push_back(moments_at(curve, std::span<const double>(basis_).subspan(g * lags_, lags_)));
  }
  return moments;
}

std::size_t DecayGrid::best_index(std::span<const DecayMoments> moments) const {
  std::size_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t g = 0; g < size(); ++g) {
    const double error = fit_amplitude(moments[g], lengths_[g]).squared_error;
    if (error < least) {
      least = error;
      best = g;
    }
  }
  return best;
}

ExponentialDecay DecayGrid::best(std::span<const DecayMoments> moments) const {
  const std::size_t g = best_index(moments);
  ExponentialDecay decay = fit_amplitude(moments[g], lengths_[g]);
  if (g == 0 || g + 1 == size()) return decay;
  const double before = fit_amplitude(moments[g - 1], lengths_[g - 1]).squared_error;
  const double after = fit_amplitude(moments[g + 1], lengths_[g + 1]).squared_error;
  const double curvature = before - 2.0 * decay.squared_error + after;
  if (curvature > 0.0) {
    const double shift = std::clamp(0.5 * (before - after) / curvature, -0.5, 0.5);
    decay.length *= std::pow(lengths_[1] / lengths_[0], shift);
  }
  return decay;
}

ExponentialDecay DecayGrid::fit(const LagCurve& curve) const {
  const std::size_t g = best_index(moments(curve));
  std::vector<double> basis(lags_);
  const auto at = [&](double log_length) {
    const double length = std::exp(log_length);
    for (std::size_t k = 1; k <= lags_; ++k) {
      basis[k - 1] = std::exp(-static_cast<double>(k) / length);
    }
    return fit_amplitude(moments_at(curve, basis), length);
  };
  constexpr int kBits = 26;
  std::uintmax_t iterations = 60;
  const double low = std::log(lengths_[g == 0 ? 0 : g - 1]);
  const double high = std::log(lengths_[std::min(g + 1, size() - 1)]);
  const auto found = boost::math::tools::brent_find_minima(
      [&](double x) { return at(x).squared_error; }, low, high, kBits, iterations);
  const ExponentialDecay on_grid = at(std::log(lengths_[g]));
  const ExponentialDecay between = at(found.first);
  return between.squared_error < on_grid.squared_error ? between : on_grid;
}

}  // namespace toplens
