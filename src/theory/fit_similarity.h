#pragma once

#include <cstddef>
#include <cstdint>

#include "theory/assumption_records.h"
#include "theory/fit_norms.h"
#include "theory/fit_reason.h"
#include "theory/parameters.h"

namespace toplens {

/// A2 of theory.md 3, (10). `decay_reason` says why no decay is present; then similarity is the
/// constant. NaN where `reason` is not `estimated`.
struct SimilarityFit {
  FitReason reason = FitReason::estimated;
  FitReason decay_reason = FitReason::estimated;
  SimilarityDecay similarity;  ///< phi: the fit, or the constant

  // The best exponential, whether present by the rule or not.
  double constant = kNotEstimable;                                         ///< b
  double amplitude = kNotEstimable;                                        ///< A
  double length = kNotEstimable;                                           ///< lambda
  double constant_error = kNotEstimable, amplitude_error = kNotEstimable;  ///< bootstrap sd
  double log_length_error = kNotEstimable;                                 ///< of log lambda

  double held_out_r_squared = kNotEstimable;  ///< fit on odd, scored on even documents
  double mean_absolute_error = kNotEstimable, r_squared = kNotEstimable;  ///< of `similarity`
  double first_lag_spread = kNotEstimable;  ///< between-document sd of the mean cosine at lag 1
  double far_spread = kNotEstimable;        ///< and of the mean cosine beyond lag K/2

  std::size_t documents = 0;
  std::size_t lags = 0;   ///< K
  std::size_t pairs = 0;  ///< over all documents and lags
};

/// rho_0 of theory.md 3.
struct SinkSimilarityFit {
  FitReason reason = FitReason::estimated;
  double mean = kNotEstimable;
  double error = kNotEstimable;   ///< standard error over documents
  double spread = kNotEstimable;  ///< sd between documents
  std::size_t documents = 0;      ///< that have a sink of positive norm
};

/// The values' effective rank, a mean over documents.
struct EffectiveRankFit {
  FitReason reason = FitReason::estimated;
  double mean = kNotEstimable;
  double spread = kNotEstimable;  ///< sd between documents
};

/// The bootstrap depends on the seed and the number of documents alone.
SimilarityFit fit_similarity(const AssumptionView& records, std::size_t layer, std::size_t kv_head,
                             std::uint64_t seed);
SinkSimilarityFit fit_sink_similarity(const AssumptionView& records, std::size_t layer,
                                      std::size_t kv_head);
EffectiveRankFit fit_effective_rank(const AssumptionView& records, std::size_t layer,
                                    std::size_t kv_head);

}  // namespace toplens
