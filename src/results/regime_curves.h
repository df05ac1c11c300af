#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "measures/head_summary.h"
#include "results/dataset.h"
#include "results/geometry_dataset.h"

namespace toplens {

/// Mean precision, recall and F over the heads of one regime at one set size; intervals over
/// documents.
struct RegimeCurvePoint {
  Regime regime = Regime::undefined;
  std::int64_t heads = 0;
  std::string ranking, distance;
  int set_size = 0;
  std::array<MeanEstimate, 3> metrics{};  ///< as kGeometryMetrics: precision, recall, f_score
};

/// Of every regime that has heads, at the set sizes that some of them define.
std::vector<RegimeCurvePoint> regime_curves(const GeometryView& geometry,
                                            const std::vector<HeadSummary>& heads,
                                            const SummaryStatistics& statistics);

/// Envelope coverage of the heads of one regime (theory.md 5), means over its heads.
struct RegimeCoverage {
  Regime regime = Regime::undefined;
  std::string ranking;
  std::int64_t heads = 0;                ///< with a prediction
  std::array<double, 3> coverage{};      ///< of precision, recall and F
  std::array<double, 3> centre_error{};  ///< mean absolute error of the predicted curve
};

/// From the theory's variables of heads.nc; none where it has none.
std::vector<RegimeCoverage> regime_coverage(const Dataset& heads_dataset,
                                            const std::vector<HeadSummary>& heads);

}  // namespace toplens
