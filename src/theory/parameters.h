#pragma once

#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "selection/ranking.h"
#include "theory/attention_profile.h"

namespace toplens {

/// theory.md (10): phi(k) = b + A exp(-k / lambda), the mean cosine of two values k tokens apart.
struct SimilarityDecay {
  double constant = 0.0;   ///< b
  double amplitude = 0.0;  ///< A; 0 where no decay is present
  double length =
      std::numeric_limits<double>::quiet_NaN();  ///< lambda in tokens; NaN without decay

  bool present() const { return amplitude != 0.0; }
  double operator()(double lag) const {
    return present() ? constant + amplitude * std::exp(-lag / length) : constant;
  }
};

/// theory.md (11) at one set size and ranking. NaN where not estimable.
struct Residuals {
  int set_size = 0;
  double beta = 0.0;   ///< mean residual of the competitors
  double sigma = 1.0;  ///< their sd times sqrt(d)
  /// The same for the sink: in T about beta; in S against s - y_0, about 0. NaN: sigma stands for
  /// it.
  double sink_sigma = std::numeric_limits<double>::quiet_NaN();

  double sigma_of_sink() const { return std::isnan(sink_sigma) ? sigma : sink_sigma; }
};

struct RankingResiduals {
  Ranking ranking = Ranking::attention;
  std::vector<Residuals> sizes;  ///< by increasing set size
};

/// What theory.md 3 assumes of one head, fitted or given: all that the predictions of sections 4 to
/// 6 know beside the weights.
struct HeadAssumptions {
  double dimension = 0.0;        ///< d as given, or the effective rank of the values
  double mean_norm = 1.0;        ///< c, in the unit of the values
  double norm_spread = 0.0;      ///< delta, relative to c
  double sink_norm_ratio = 1.0;  ///< kappa
  SimilarityDecay similarity;    ///< phi
  double sink_similarity = 0.0;  ///< rho_0
  std::vector<RankingResiduals> residuals;
  std::optional<AttentionProfile> profile;

  /// Null where the ranking was not fitted.
  const RankingResiduals* find(Ranking ranking) const {
    for (const RankingResiduals& row : residuals) {
      if (row.ranking == ranking) return &row;
    }
    return nullptr;
  }
};

/// Precision, recall and F-score of theory.md (1)-(3): bounds or predictions of their means.
struct Separation {
  double precision = std::numeric_limits<double>::quiet_NaN();
  double recall = std::numeric_limits<double>::quiet_NaN();
  double f_score = std::numeric_limits<double>::quiet_NaN();

  static Separation perfect() { return {1.0, 1.0, 1.0}; }
  static Separation zero() { return {0.0, 0.0, 0.0}; }
};

inline Separation& operator+=(Separation& sum, const Separation& term) {
  sum.precision += term.precision;
  sum.recall += term.recall;
  sum.f_score += term.f_score;
  return sum;
}

inline Separation operator/(const Separation& sum, double count) {
  return {sum.precision / count, sum.recall / count, sum.f_score / count};
}

}  // namespace toplens
