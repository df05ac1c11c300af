#include "interchange/score_comparison.h"

#include <cassert>
#include <cmath>

namespace toplens {

ScoreComparison compare_scores(const HeadScores& scores, const HeadLayout& model,
                               std::span<const double> values,
                               const RankCorrelationOptions& options) {
  ScoreComparison comparison;
  comparison.imported = to_query_heads(scores, model).values;
  assert(comparison.imported.size() == values.size());
  std::vector<double> imported, measured;
  for (std::size_t head = 0; head < values.size(); ++head) {
    if (std::isnan(values[head])) continue;
    imported.push_back(comparison.imported[head]);
    measured.push_back(values[head]);
  }
  comparison.correlation = spearman(imported, measured, options);
  return comparison;
}

}  // namespace toplens
