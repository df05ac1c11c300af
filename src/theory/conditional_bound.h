#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/aligned_vector.h"
#include "theory/parameters.h"
#include "theory/ranked_tokens.h"

namespace toplens {

/// The selected side of one query and set size, as measured.
struct SelectedScores {
  std::size_t set_size = 0;
  std::span<const double> scores;  ///< g_i of theory.md (6) for the set_size selected, by rank
  double aggregate_norm = 0.0;     ///< |s|
};

/// theory.md 4 for one query, set size and ranking. NaN where beta or sigma are not known or the
/// set size is not below the number of tokens.
struct ConditionalBound {
  Separation chernoff;  ///< (15)-(17) with the sub-Gaussian tail: a bound under (13)
  Separation gaussian;  ///< the same with the normal tail: a prediction, not a bound
  /// Delta = min_j Delta_j of (18); perfect separation is expected where it is positive.
  double margin = std::numeric_limits<double>::quiet_NaN();
  double uniform_precision = std::numeric_limits<double>::quiet_NaN();  ///< (18); 0 if margin <= 0
  /// (19): the dimension from which on gamma_N > 0 with probability 1 - eta; infinite if
  /// margin <= 0.
  double separating_dimension = std::numeric_limits<double>::quiet_NaN();
};

/// Evaluates theory.md (13)-(19) for one query after the other; an object for one worker.
class ConditionalBounds {
 public:
  explicit ConditionalBounds(double eta = 0.05) : eta_(eta) {}

  /// `tokens` holds the measured contributions, `selected` and `residuals` increase in set size and
  /// name the same sizes; `bounds` has one element for each.
  void evaluate(const RankedTokens& tokens, const HeadAssumptions& assumptions,
                std::span<const SelectedScores> selected, std::span<const Residuals> residuals,
                std::span<ConditionalBound> bounds);

 private:
  ConditionalBound evaluate_size(const RankedTokens& tokens, double dimension,
                                 std::span<const double> inner, const SelectedScores& selected,
                                 const Residuals& residuals);

  double eta_;
  SimilaritySums sums_;
  std::vector<std::size_t> sizes_;
  AlignedVector<double> centres_, inverse_sds_;  // of T, where g_j has noise
  std::vector<double> fixed_scores_;             // where it has none
};

}  // namespace toplens
