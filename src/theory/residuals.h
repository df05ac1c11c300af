#pragma once

#include <cstddef>
#include <vector>

#include "theory/assumption_records.h"
#include "theory/fit_norms.h"
#include "theory/fit_reason.h"
#include "theory/parameters.h"

namespace toplens {

/// theory.md (11) at one set size and ranking. NaN where `reason` is not `estimated`.
struct ResidualEstimate {
  FitReason reason = FitReason::estimated;
  /// Over the competitors without the sink; the sink's sigma_0 is NaN where `sink_reason` says why.
  Residuals competitors;
  /// Over a sample of all of T (AssumptionLayout::kSampledOthers a document).
  Residuals all_unselected;
  double beta_spread = kNotEstimable;   ///< between-document sd of beta over the competitors
  double sigma_spread = kNotEstimable;  ///< and of sigma
  FitReason sink_reason = FitReason::estimated;

  std::size_t num_competitors = 0;                       ///< pooled
  std::size_t zero_norms = 0;                            ///< competitors left out: no direction
  std::size_t sinks_unselected = 0, sinks_selected = 0;  ///< documents behind sigma_0

  double near_duplicates = kNotEstimable;         ///< share of T, mean over documents
  double near_duplicates_spread = kNotEstimable;  ///< between-document sd
};

struct RankingResidualFit {
  Ranking ranking = Ranking::attention;
  std::vector<ResidualEstimate> sizes;  ///< of the layout
};

/// The share of near-duplicates above which "A2 is not applicable" (theory.md 3).
inline constexpr double kMostNearDuplicates = 0.05;

/// `similarity` and `sink_similarity` are the head's fitted ones (sink_similarity is not used where
/// the sink is not visible or has no norm). `similarity_reason` not `estimated`: no residuals.
std::vector<RankingResidualFit> fit_residuals(const AssumptionView& records, std::size_t layer,
                                              std::size_t head, const SimilarityDecay& similarity,
                                              FitReason similarity_reason, double sink_similarity);

}  // namespace toplens
