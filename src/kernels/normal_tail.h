#pragma once

#include <cstddef>
#include <limits>
#include <span>

#include "base/aligned_vector.h"

namespace toplens {

// Tails in float32 from float64 arguments. Relative error below 4e-6 where |z| <= 7, absolute error
// below 1e-6 everywhere; sums leave out blocks whose terms are all below 2e-11.

/// tails[k] = Pr[Z >= z[k]], Z standard normal; z must not be NaN.
void normal_tail(std::span<const double> z, std::span<float> tails);

/// Arrays of competitors are padded to a multiple of this.
inline constexpr std::size_t kTailBlock = 64;
inline std::size_t padded_to_tail_block(std::size_t n) {
  return (n + kTailBlock - 1) / kTailBlock * kTailBlock;
}
/// The centre of a padding element: its tail is 0. Its inverse sd or variance must be 1.
inline constexpr double kNoCompetitor = -std::numeric_limits<double>::infinity();

/// Sums over the competitors of one score.
struct TailSums {
  double chernoff = 0.0;  ///< of exp(-z^2 / 2) for z > 0, else 1
  double gaussian = 0.0;  ///< of Pr[Z >= z]
};

/// z_j = (score - centres[j]) * inverse_sds[j]. Stops where both sums have reached `enough`: then
/// they are incomplete, but at least that.
TailSums competitor_tails(double score, const double* centres, const double* inverse_sds,
                          std::size_t padded_count, double enough);

struct PairTails {
  double sum = 0.0;
  double largest = 0.0;
};

/// Rows against the competitors, one after the other:
///   p_j = Pr[Z >= (mean - means[j]) / sqrt(variance + variances[j])],
/// with both variances 0 the step [means[j] >= mean]. Relative errors up to 2e-5 at |z| = 7, of
/// which the tail is 1e-12; absolute errors below 1e-6.
class PairwiseTails {
 public:
  /// Takes the competitors and forgets the rows.
  void start(std::span<const double> means, std::span<const double> variances);
  /// Sum and largest of a row's p_j.
  PairTails add(double mean, double variance);

  /// Over the rows so far, of each competitor.
  std::span<const float> column_sums() const { return {column_sums_.data(), count_}; }
  std::span<const float> column_maxima() const { return {column_maxima_.data(), count_}; }

 private:
  std::size_t count_ = 0;
  int exponent_ = 0;  // all is scaled by this power of two, variances by its square
  double least_variance_ = 0.0;
  AlignedVector<double> means_, variances_;
  AlignedVector<float> float_variances_, column_sums_, column_maxima_;
};

}  // namespace toplens
