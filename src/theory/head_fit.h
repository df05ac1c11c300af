#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "parallel/thread_pool.h"
#include "theory/fit_norms.h"
#include "theory/fit_profile.h"
#include "theory/fit_similarity.h"
#include "theory/parameters.h"
#include "theory/residuals.h"

namespace toplens {

/// What follows from the values alone: shared by the query heads of one kv head.
struct ValueFit {
  NormFit norms;
  SimilarityFit similarity;
  SinkSimilarityFit sink_similarity;
  EffectiveRankFit effective_rank;
};

/// d of the formulas: as given, or the values' effective rank.
enum class EffectiveDimension { given, effective_rank };

/// All of theory.md 3 for one layer and query head.
struct HeadFit {
  std::size_t head_dim = 0;
  bool sink_visible = true;
  ValueFit values;
  std::vector<RankingResidualFit> residuals;
  ProfileFit profile;

  /// Largest share of near-duplicates over set sizes of the first ranking; NaN without one.
  double near_duplicates() const;
  /// False: "A2 not applicable" (theory.md 3).
  bool similarity_applicable() const { return !(near_duplicates() > kMostNearDuplicates); }

  /// For the bounds and predictions of sections 4 to 6: norms, similarity and residuals, NaN where
  /// not estimable; what belongs to a sink that is not visible, or has no norm, is left at values
  /// that do nothing. Nothing where A1 or A2 could not be estimated at all, or the effective rank
  /// was asked for and is not known. sigma is scaled with sqrt(d), so that sigma / sqrt(d) is the
  /// measured spread for either dimension.
  std::optional<HeadAssumptions> assumptions(
      EffectiveDimension dimension = EffectiveDimension::given) const;
};

/// Deterministic: the bootstrap of the fits depends on the seed alone. Different heads may be
/// fitted concurrently.
ValueFit fit_values(const AssumptionView& records, std::size_t layer, std::size_t kv_head,
                    std::uint64_t seed);
HeadFit fit_head(const AssumptionView& records, std::size_t layer, std::size_t head,
                 const ValueFit& values);

/// All heads, [layer][head] in one row. `seed` as of the run. The result does not depend on the
/// threads.
std::vector<HeadFit> fit_heads(const AssumptionView& records, std::uint64_t seed, ThreadPool& pool);

}  // namespace toplens
