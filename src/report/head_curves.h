#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/run_results.h"

namespace toplens {

/// The three metrics that are drawn against N; their names are those of geometry.nc and heads.nc.
struct CurveMetric {
  std::string_view name;
  std::string_view title;
};
inline constexpr std::array<CurveMetric, 3> kCurveMetrics = {
    {{"precision", "precision P"}, {"recall", "recall R"}, {"f_score", "F-score"}}};
inline constexpr std::size_t kRecallMetric = 1;
inline constexpr std::size_t kFScoreMetric = 2;

/// Figures by set size, of one row or of [head, size].
struct MeanCurve {
  std::vector<double> mean, low, high;
};

/// Measured and predicted separability of a run, by one ranking and distance, with a control.
struct HeadCurves {
  std::vector<int> set_sizes;
  std::string ranking, distance;
  std::string control;  ///< empty: the run has none
  std::size_t documents = 0;

  struct Metric {
    MeanCurve measured;           ///< [head, size], 95% bootstrap interval over documents
    std::vector<double> control;  ///< [head, size], empty without control
    /// Of heads.nc, [head, size], empty where the file lacks them.
    std::vector<double> predicted, lower, upper;
    MeanCurve all_heads;  ///< [size], mean over heads
  };
  std::array<Metric, kCurveMetrics.size()> metrics;

  const Metric& f_score() const { return metrics[kFScoreMetric]; }
  std::size_t sizes() const { return set_sizes.size(); }
  bool predicted() const { return !f_score().predicted.empty(); }
};

/// Nothing where geometry.nc is absent. Ranking attention, distance Euclidean and the random
/// control, or the run's first ones where it lacks them. The intervals are those of heads.csv.
std::optional<HeadCurves> read_head_curves(const RunResults& results);

/// Index of the first set size at which a head's figure is below `threshold`; sizes() if at none.
std::size_t first_below(const HeadCurves& curves, const std::vector<double>& values,
                        std::size_t head, double threshold);

/// Index of the set size nearest to 8, for what is shown first.
std::size_t focal_size(const HeadCurves& curves);

}  // namespace toplens
