#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "selection/ranking.h"
#include "theory/generative_parameters.h"
#include "theory/predictive_model.h"

namespace toplens {

/// What the theory says without any document: weights drawn from (36).
struct CurveOptions {
  std::vector<int> set_sizes = {1, 2, 4, 8, 16, 32, 64, 128, 256};  ///< increasing
  Ranking ranking = Ranking::attention;                             ///< or contribution
  double sigma = 1.0;
  double beta = 0.0;
  int weight_draws = 32;
  int draws = 64;  ///< of the scalar model for each of them, theory.md (24)
  std::uint64_t seed = 2027;
};

struct CurvePoint {
  int set_size = 0;
  Envelope envelope;  ///< mean over the weight draws
  double sink_selected_share = 0.0;
  /// (26), mean over the weight draws whose sink is selected; none where it never is or N < 2.
  std::optional<double> sink_threshold;
};

struct TheoryCurve {
  std::vector<CurvePoint> points;  ///< set sizes below the length
  int largest_size = 0;
  std::optional<int> critical_size;  ///< (25), median over the weight draws; none: larger
  std::optional<int> half_size;      ///< predicted N_half; none: larger
};

/// Throws Error for parameters or options outside their range, naming them.
TheoryCurve theory_curve(const GenerativeParameters& parameters, const CurveOptions& options);

}  // namespace toplens
