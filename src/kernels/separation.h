#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/aligned_vector.h"

namespace toplens {

// Scores are what theory.md compares: larger is closer to the aggregate. Arrays of scores, sums and
// weights have room for the number of tokens rounded up to a multiple of 8.

/// theory.md (6): scores[j] = 2 <y_j, s> - |y_j|^2 with y_j = weights[j] v_j, from sums[j] = <v_j,
/// s> and squared_norms[j] = |v_j|^2.
void euclidean_scores(const double* sums, const double* weights, const double* squared_norms,
                      std::size_t tokens, double* scores);

/// scores[j] = <v_j, s> / |v_j|, the cosine times |s|; inverse_norms is 0 where the similarity is 0
/// by definition.
void cosine_scores(const double* sums, const double* inverse_norms, std::size_t tokens,
                   double* scores);

/// Number of tokens with norms[j] * factor < threshold.
std::size_t count_products_below(const double* norms, double factor, double threshold,
                                 std::size_t tokens);

/// What the metrics of theory.md (1)-(5) are made of.
struct SeparationCounts {
  double min_selected = 0.0;        ///< smallest score in S: the outer radius rho_max
  double max_unselected = 0.0;      ///< largest score in T: the inner radius rho_min
  std::uint64_t contaminating = 0;  ///< tokens of T with score >= min_selected
  std::uint64_t clear = 0;          ///< tokens of S with score > max_unselected
  std::uint64_t inversions = 0;     ///< pairs (i, j) in S x T with score_j >= score_i
};

/// Counts for one selection; keeps scratch memory between calls.
class SeparationCounter {
 public:
  /// `selected` are 1 to tokens - 1 distinct indices. `scores` is used up: selected and padding
  /// places are overwritten. Scores must be finite. Without inversions that count stays 0.
  SeparationCounts count(double* scores, std::size_t tokens,
                         std::span<const std::uint32_t> selected, bool with_inversions);

 private:
  AlignedVector<double> selected_;
  AlignedVector<double> candidates_;
};

}  // namespace toplens
