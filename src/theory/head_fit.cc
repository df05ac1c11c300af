#include "theory/head_fit.h"

#include <algorithm>
#include <cmath>

namespace toplens {

double HeadFit::near_duplicates() const {
  double largest = kNotEstimable;
  if (residuals.empty()) return largest;
  for (const ResidualEstimate& estimate : residuals.front().sizes) {
    if (std::isnan(largest) || estimate.near_duplicates > largest) {
      largest = estimate.near_duplicates;
    }
  }
  return largest;
}

std::optional<HeadAssumptions> HeadFit::assumptions(EffectiveDimension dimension) const {
  if (values.norms.reason != FitReason::estimated ||
      values.similarity.reason != FitReason::estimated) {
    return std::nullopt;
  }
  HeadAssumptions assumptions;
  const auto given = static_cast<double>(head_dim);
  assumptions.dimension =
      dimension == EffectiveDimension::given ? given : values.effective_rank.mean;
  if (std::isnan(assumptions.dimension)) return std::nullopt;
  assumptions.mean_norm = values.norms.mean_norm;
  assumptions.norm_spread = values.norms.spread;
  if (values.norms.sink_reason == FitReason::estimated) {
    assumptions.sink_norm_ratio = values.norms.sink_ratio;
  }
  assumptions.similarity = values.similarity.similarity;
  if (values.sink_similarity.reason == FitReason::estimated) {
    assumptions.sink_similarity = values.sink_similarity.mean;
  }
  const double scale = std::sqrt(assumptions.dimension / given);
  for (const RankingResidualFit& fit : residuals) {
    RankingResiduals row;
    row.ranking = fit.ranking;
    for (const ResidualEstimate& estimate : fit.sizes) {
      Residuals scaled = estimate.competitors;
      scaled.sigma *= scale;
      scaled.sink_sigma *= scale;
      row.sizes.push_back(scaled);
    }
    assumptions.residuals.push_back(std::move(row));
  }
  assumptions.profile = profile.profile;
  return assumptions;
}

ValueFit fit_values(const AssumptionView& records, std::size_t layer, std::size_t kv_head,
                    std::uint64_t seed) {
  ValueFit fit;
  fit.norms = fit_norms(records, layer, kv_head);
  fit.similarity = fit_similarity(records, layer, kv_head, seed);
  fit.sink_similarity = fit_sink_similarity(records, layer, kv_head);
  fit.effective_rank = fit_effective_rank(records, layer, kv_head);
  return fit;
}

HeadFit fit_head(const AssumptionView& records, std::size_t layer, std::size_t head,
                 const ValueFit& values) {
  HeadFit fit;
  fit.head_dim = records.shape.head_dim;
  fit.sink_visible = records.sink_visible(layer);
  fit.values = values;
  fit.residuals = fit_residuals(records, layer, head, values.similarity.similarity,
                                values.similarity.reason, values.sink_similarity.mean);
  fit.profile = fit_profile(records, layer, head);
  return fit;
}

std::vector<HeadFit> fit_heads(const AssumptionView& records, std::uint64_t seed,
                               ThreadPool& pool) {
  const RecordedShape& shape = records.shape;
  const std::size_t heads_per_kv_head = shape.heads / shape.kv_heads;
  std::vector<HeadFit> fits(shape.layers * shape.heads);
  pool.parallel_for(shape.layers * shape.kv_heads, [&](std::size_t task, int) {
    const std::size_t layer = task / shape.kv_heads;
    const std::size_t kv_head = task % shape.kv_heads;
    const ValueFit values = fit_values(records, layer, kv_head, seed);
    for (std::size_t k = 0; k < heads_per_kv_head; ++k) {
      const std::size_t head = kv_head * heads_per_kv_head + k;
      fits[layer * shape.heads + head] = fit_head(records, layer, head, values);
    }
  });
  return fits;
}

}  // namespace toplens
