#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace toplens {

/// Weighted sums from which the least squares of y_k = b + A exp(-k / lambda), k = 1, 2, ...,
/// follow for one lambda. They add up over documents.
struct DecayMoments {
  double weight = 0.0;                    ///< sum n
  double basis = 0.0, basis_basis = 0.0;  ///< sum n e, sum n e^2
  double y = 0.0, y_basis = 0.0, y_y = 0.0;

  void add(const DecayMoments& other, double times);
};

struct ExponentialDecay {
  double constant = 0.0;   ///< b
  double amplitude = 0.0;  ///< A
  double length = 0.0;     ///< lambda
  double squared_error = 0.0;

  double operator()(double lag) const;
};

/// Mean cosines by lag (k = 1 first) and the number of pairs behind each; a mean without pairs may
/// be anything.
struct LagCurve {
  std::vector<double> means;
  std::vector<double> pairs;
};

/// Least squares under |b| <= 1 and |b + A exp(-1 / lambda)| <= 1 for the lambda of the moments.
ExponentialDecay fit_amplitude(const DecayMoments& moments, double length);

/// The lambdas of the search, 0.5 to 2 K in equal factors, and the moments of curves at them.
class DecayGrid {
 public:
  explicit DecayGrid(std::size_t lags);

  std::size_t size() const { return lengths_.size(); }
  double length(std::size_t g) const { return lengths_[g]; }

  std::vector<DecayMoments> moments(const LagCurve& curve) const;
  /// The grid's best lambda and, by a parabola through its neighbours, one between.
  ExponentialDecay best(std::span<const DecayMoments> moments) const;
  /// The same with a bounded search (Brent 1973) over log lambda between the neighbours.
  ExponentialDecay fit(const LagCurve& curve) const;

 private:
  std::size_t best_index(std::span<const DecayMoments> moments) const;

  std::size_t lags_;
  std::vector<double> lengths_;
  std::vector<double> basis_;  // [lambda, lag]
};

}  // namespace toplens
