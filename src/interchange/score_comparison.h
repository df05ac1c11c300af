#pragma once

#include <span>
#include <vector>

#include "interchange/head_scores.h"
#include "statistics/rank_correlation.h"

namespace toplens {

/// Imported scores beside a measure of one's own, head by head.
struct ScoreComparison {
  std::vector<double> imported;  ///< [layer * query_heads + query_head]
  RankCorrelation correlation;   ///< over the heads where the measure is a number
};

/// Spearman's correlation of imported scores with `values` [layer * query_heads + query_head], NaN
/// where a head has no value, with a bootstrap interval over heads. Scores of KV heads count for
/// each of their query heads. Sizes as checked.
ScoreComparison compare_scores(const HeadScores& scores, const HeadLayout& model,
                               std::span<const double> values,
                               const RankCorrelationOptions& options = {});

}  // namespace toplens
