#include "theory/fit_norms.h"

#include <cmath>
#include <vector>

#include "statistics/moments.h"
#include "statistics/quantile.h"

namespace toplens {

namespace {

void fit_sink(NormFit& fit, const std::vector<double>& sink_norms,
              const std::vector<double>& means) {
  fit.sink_ratio = mean(sink_norms) / fit.mean_norm;
  // A ratio of means over documents: its error is that of the residuals |v_0| - kappa c_d.
  std::vector<double> ratios, residuals;
  for (std::size_t d = 0; d < means.size(); ++d) {
    if (means[d] > 0.0) ratios.push_back(sink_norms[d] / means[d]);
    residuals.push_back(sink_norms[d] - fit.sink_ratio * means[d]);
  }
  fit.sink_ratio_spread = standard_deviation(ratios);
  const auto documents = static_cast<double>(means.size());
  const double error = standard_deviation(residuals) / (fit.mean_norm * std::sqrt(documents));
  fit.sink_ratio_upper = fit.sink_ratio + student_quantile(0.975, documents - 1.0) * error;
  fit.sink_compressed = fit.sink_ratio_upper < 1.0 && fit.sink_ratio < fit.quantile_05;
}

}  // namespace

NormFit fit_norms(const AssumptionView& records, std::size_t layer, std::size_t kv_head) {
  NormFit fit;
  fit.documents = records.shape.documents;
  const std::size_t first = records.sink_visible(layer) ? 1 : 0;
  fit.sink_reason = first == 1 ? FitReason::estimated : FitReason::no_sink_visible;
  if (fit.documents < kLeastDocuments) {
    fit.reason = fit.sink_reason = FitReason::too_few_documents;
    return fit;
  }
  if (records.visible(layer) < first + 2) {
    fit.reason = fit.sink_reason = FitReason::too_few_tokens_for_norms;
    return fit;
  }
  std::vector<double> pooled, means, spreads, sink_norms, own;
  for (std::size_t d = 0; d < fit.documents; ++d) {
    const std::span<const float> norms = records.norms_of(d, layer, kv_head);
    own.assign(norms.begin() + static_cast<std::ptrdiff_t>(first), norms.end());
    for (const double norm : own) fit.zero_norms += norm == 0.0 ? 1 : 0;
    means.push_back(mean(own));
    if (means.back() > 0.0) spreads.push_back(standard_deviation(own) / means.back());
    sink_norms.push_back(double{norms[0]});
    pooled.insert(pooled.end(), own.begin(), own.end());
  }
  fit.tokens = pooled.size();
  const double centre = mean(pooled);
  if (spreads.size() < kLeastDocuments) {
    fit.reason = fit.sink_reason = FitReason::zero_norms;
    return fit;
  }
  fit.mean_norm = centre;
  fit.mean_norm_spread = standard_deviation(means);
  fit.mean_norm_error = fit.mean_norm_spread / std::sqrt(static_cast<double>(means.size()));
  fit.spread = standard_deviation(pooled) / centre;
  fit.spread_between = standard_deviation(spreads);
  fit.quantile_05 = quantile(pooled, 0.05) / centre;
  fit.quantile_95 = quantile(pooled, 0.95) / centre;
  if (first == 1) fit_sink(fit, sink_norms, means);
  return fit;
}

}  // namespace toplens
