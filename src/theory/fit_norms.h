#pragma once

#include <cstddef>
#include <limits>

#include "theory/assumption_records.h"
#include "theory/fit_reason.h"

namespace toplens {

inline constexpr double kNotEstimable = std::numeric_limits<double>::quiet_NaN();

/// A1 of theory.md 3: stable norms, compressed sink. NaN where `reason` (for the sink's figures
/// `sink_reason`) is not `estimated`.
struct NormFit {
  FitReason reason = FitReason::estimated;
  double mean_norm = kNotEstimable;         ///< c
  double mean_norm_error = kNotEstimable;   ///< standard error over documents
  double mean_norm_spread = kNotEstimable;  ///< sd of the documents' own means
  double spread = kNotEstimable;            ///< delta, over documents and tokens
  double spread_between = kNotEstimable;    ///< sd of the documents' own deltas
  double quantile_05 = kNotEstimable, quantile_95 = kNotEstimable;  ///< of |v_i| / c

  FitReason sink_reason = FitReason::estimated;
  double sink_ratio = kNotEstimable;         ///< kappa
  double sink_ratio_spread = kNotEstimable;  ///< sd of the documents' own kappas
  double sink_ratio_upper = kNotEstimable;   ///< end of the two-sided 95% interval over documents
  bool sink_compressed = false;

  std::size_t documents = 0;
  std::size_t tokens = 0;      ///< pooled, i >= 1
  std::size_t zero_norms = 0;  ///< of those tokens; they count in the figures
};

NormFit fit_norms(const AssumptionView& records, std::size_t layer, std::size_t kv_head);

}  // namespace toplens
