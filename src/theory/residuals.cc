#include "theory/residuals.h"

#include <cmath>

#include "theory/ranked_tokens.h"
#include "theory/residual_pool.h"

namespace toplens {

namespace {

ResidualEstimate not_estimable(int set_size, FitReason reason) {
  ResidualEstimate estimate;
  estimate.reason = estimate.sink_reason = reason;
  for (Residuals* residuals : {&estimate.competitors, &estimate.all_unselected}) {
    residuals->set_size = set_size;
    residuals->beta = residuals->sigma = kNotEstimable;
  }
  return estimate;
}

}  // namespace

std::vector<RankingResidualFit> fit_residuals(const AssumptionView& records, std::size_t layer,
                                              std::size_t head, const SimilarityDecay& similarity,
                                              FitReason similarity_reason, double sink_similarity) {
  const RecordedShape& shape = records.shape;
  const AssumptionLayout& layout = shape.layout;
  const std::size_t defined =
      similarity_reason == FitReason::estimated ? records.defined_sizes(layer) : 0;
  const std::size_t kv_head = shape.kv_head_of(head);
  const bool sink_visible = records.sink_visible(layer);
  std::vector<std::size_t> sizes;
  for (std::size_t n = 0; n < defined; ++n) sizes.push_back(layout.set_size(n));

  std::vector<RankingResidualFit> fits;
  std::vector<ResidualPool> pools(layout.rankings.size() * defined);
  TokenRanker ranker;
  SimilaritySums sums;
  std::vector<double> contributions;
  for (std::size_t d = 0; d < shape.documents && defined > 0; ++d) {
    const std::span<const float> weights = records.weights_of(d, layer, head);
    recorded_contributions(weights, records.norms_of(d, layer, kv_head), contributions);
    for (std::size_t r = 0; r < layout.rankings.size(); ++r) {
      RankedTokens tokens;
      tokens.contributions = contributions;
      tokens.order =
          recorded_order(ranker, layout, layout.rankings[r], d, shape.first_layer + layer, head,
                         records.first_token(layer), weights, contributions);
      tokens.sink_visible = sink_visible;
      // A sink without a norm contributes nothing, whatever its similarity.
      sums.compute(tokens, similarity, std::isnan(sink_similarity) ? 0.0 : sink_similarity, sizes);
      std::size_t sink_rank = tokens.size();
      for (std::size_t k = 0; sink_visible && k < tokens.size(); ++k) {
        if (tokens.order[k] == 0) sink_rank = k;
      }
      for (std::size_t n = 0; n < defined; ++n) {
        pools[r * defined + n].add(records.size_of(d, layer, head, r, n), sums.others(n),
                                   sink_rank);
      }
    }
  }
  for (std::size_t r = 0; r < layout.rankings.size(); ++r) {
    RankingResidualFit fit;
    fit.ranking = layout.rankings[r];
    for (std::size_t n = 0; n < layout.set_sizes.size(); ++n) {
      fit.sizes.push_back(
          n < defined ? pools[r * defined + n].estimate(
                            layout.set_sizes[n], static_cast<double>(shape.head_dim), sink_visible)
                      : not_estimable(layout.set_sizes[n], similarity_reason == FitReason::estimated
                                                               ? FitReason::too_few_tokens
                                                               : similarity_reason));
    }
    fits.push_back(std::move(fit));
  }
  return fits;
}

}  // namespace toplens
