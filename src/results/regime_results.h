#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "measures/head_summary.h"
#include "measures/mixture_check.h"
#include "results/imported_scores.h"
#include "results/regime_curves.h"

namespace toplens {

/// What a run says of its regimes as a whole.
struct RegimeResults {
  MeasuredShape shape;
  RegimeThresholds thresholds;
  std::vector<HeadSummary> heads;
  MixtureCheck mixture;
  std::vector<RegimeCurvePoint> curves;
  std::vector<RegimeCoverage> coverage;
  std::vector<ImportedComparison> imported;
  int detector_sequences = 0;  ///< 0: not measured
  int detector_tokens = 0;     ///< random tokens of a sequence, which repeats them once
};

/// Of regimes.json; compare refuses others.
inline constexpr int kRegimesSchemaVersion = 1;

/// regimes.json: thresholds, shares by layer, mixture check, curves and coverage by regime, label
/// stability across settings. null stands for what is not defined, with a reason beside it.
nlohmann::ordered_json regimes_json(const RegimeResults& results);

/// The regimes by layer for a terminal of 100 columns, with thresholds, mixture check and
/// stability.
std::string regimes_summary(const RegimeResults& results);

}  // namespace toplens
