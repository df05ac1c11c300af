#include "theory/fit_similarity.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"
#include "statistics/moments.h"
#include "theory/exponential_decay.h"

namespace toplens {

namespace {

/// Three parameters and something to test them on.
constexpr std::size_t kLeastLags = 4;
constexpr std::size_t kResamples = 200;
constexpr double kLeastHeldOut = 0.1;
constexpr double kLargestLogError = 0.5;

LagCurve document_curve(const AssumptionView& records, std::size_t document, std::size_t layer,
                        std::size_t kv_head) {
  const std::span<const float> cosines = records.lag_cosines_of(document, layer, kv_head);
  const std::span<const float> norms = records.norms_of(document, layer, kv_head);
  const std::size_t first = records.sink_visible(layer) ? 1 : 0;
  const bool any_zero = std::any_of(norms.begin(), norms.end(), [](float n) { return n == 0; });
  LagCurve curve;
  for (std::size_t k = 1; k <= cosines.size(); ++k) {
    std::size_t pairs = norms.size() - first - k;
    if (any_zero) {
      pairs = 0;
      for (std::size_t i = first; i + k < norms.size(); ++i) {
        pairs += norms[i] > 0.0f && norms[i + k] > 0.0f ? 1 : 0;
      }
    }
    curve.means.push_back(pairs > 0 ? double{cosines[k - 1]} : 0.0);
    curve.pairs.push_back(static_cast<double>(pairs));
  }
  return curve;
}

/// Over documents first, first + step, ...
LagCurve pool(const std::vector<LagCurve>& curves, std::size_t first, std::size_t step) {
  LagCurve pooled;
  pooled.means.assign(curves[0].means.size(), 0.0);
  pooled.pairs.assign(curves[0].means.size(), 0.0);
  for (std::size_t d = first; d < curves.size(); d += step) {
    for (std::size_t k = 0; k < pooled.means.size(); ++k) {
      pooled.means[k] += curves[d].pairs[k] * curves[d].means[k];
      pooled.pairs[k] += curves[d].pairs[k];
    }
  }
  for (std::size_t k = 0; k < pooled.means.size(); ++k) {
    if (pooled.pairs[k] > 0.0) pooled.means[k] /= pooled.pairs[k];
  }
  return pooled;
}

/// Weighted mean over lags from `first` (1 is index 0); NaN without pairs.
double mean_from(const LagCurve& curve, std::size_t first) {
  double sum = 0.0, pairs = 0.0;
  for (std::size_t k = first; k < curve.means.size(); ++k) {
    sum += curve.pairs[k] * curve.means[k];
    pairs += curve.pairs[k];
  }
  return pairs > 0.0 ? sum / pairs : kNotEstimable;
}

template <typename Function>
double squared_error(const LagCurve& curve, const Function& predicted) {
  double sum = 0.0;
  for (std::size_t k = 0; k < curve.means.size(); ++k) {
    const double error = curve.means[k] - predicted(static_cast<double>(k + 1));
    sum += curve.pairs[k] * error * error;
  }
  return sum;
}

/// Squared errors of mean cosines below this are rounding: the cosines are float32.
constexpr double kRounding = 1e-12;

/// 1 - error / reference; 0 where there is nothing to explain.
double explained(double error, double reference) {
  return reference > kRounding ? 1.0 - error / reference : 0.0;
}

double held_out_r_squared(const DecayGrid& grid, const std::vector<LagCurve>& curves) {
  const LagCurve odd = pool(curves, 1, 2);
  const LagCurve even = pool(curves, 0, 2);
  const double constant = mean_from(odd, 0);
  if (std::isnan(constant) || std::isnan(mean_from(even, 0))) return 0.0;
  return explained(squared_error(even, grid.fit(odd)),
                   squared_error(even, [&](double) { return constant; }));
}

void bootstrap(SimilarityFit& fit, const DecayGrid& grid, const std::vector<LagCurve>& curves,
               std::uint64_t seed) {
  std::vector<std::vector<DecayMoments>> of_documents;
  for (const LagCurve& curve : curves) of_documents.push_back(grid.moments(curve));
  Random random(seed, {curves.size(), kResamples});
  std::vector<double> constants, amplitudes, log_lengths;
  std::vector<double> times(curves.size());
  std::vector<DecayMoments> moments;
  for (std::size_t r = 0; r < kResamples; ++r) {
    times.assign(curves.size(), 0.0);
    for (std::size_t d = 0; d < curves.size(); ++d) times[random.below(curves.size())] += 1.0;
    moments.assign(grid.size(), {});
    for (std::size_t d = 0; d < curves.size(); ++d) {
      if (times[d] == 0.0) continue;
      for (std::size_t g = 0; g < grid.size(); ++g) moments[g].add(of_documents[d][g], times[d]);
    }
    if (moments[0].weight == 0.0) continue;
    const ExponentialDecay decay = grid.best(moments);
    constants.push_back(decay.constant);
    amplitudes.push_back(decay.amplitude);
    log_lengths.push_back(std::log(decay.length));
  }
  fit.constant_error = standard_deviation(constants);
  fit.amplitude_error = standard_deviation(amplitudes);
  fit.log_length_error = standard_deviation(log_lengths);
}

/// theory.md 3: when decay is present, and why not. A length outside the observed lags is no
/// estimate of one.
FitReason judge_decay(const SimilarityFit& fit) {
  if (!(fit.held_out_r_squared >= kLeastHeldOut)) return FitReason::no_decay;
  if (!(fit.amplitude > 0.0)) return FitReason::increasing;
  if (fit.length < 1.0) return FitReason::within_one_lag;
  if (fit.length > static_cast<double>(fit.lags)) return FitReason::longer_than_window;
  if (!(fit.log_length_error <= kLargestLogError)) return FitReason::decay_not_resolved;
  return FitReason::estimated;
}

void describe_errors(SimilarityFit& fit, const LagCurve& pooled,
                     const std::vector<LagCurve>& curves) {
  double absolute = 0.0, pairs = 0.0;
  for (std::size_t k = 0; k < pooled.means.size(); ++k) {
    const double error = pooled.means[k] - fit.similarity(static_cast<double>(k + 1));
    absolute += pooled.pairs[k] * std::abs(error);
    pairs += pooled.pairs[k];
  }
  fit.pairs = static_cast<std::size_t>(pairs);
  fit.mean_absolute_error = absolute / pairs;
  const double constant = mean_from(pooled, 0);
  fit.r_squared = explained(squared_error(pooled, fit.similarity),
                            squared_error(pooled, [&](double) { return constant; }));
  std::vector<double> first, far;
  for (const LagCurve& curve : curves) {
    if (curve.pairs[0] > 0.0) first.push_back(curve.means[0]);
    const double beyond = mean_from(curve, curve.means.size() / 2);
    if (!std::isnan(beyond)) far.push_back(beyond);
  }
  fit.first_lag_spread = standard_deviation(first);
  fit.far_spread = standard_deviation(far);
}

}  // namespace

SimilarityFit fit_similarity(const AssumptionView& records, std::size_t layer, std::size_t kv_head,
                             std::uint64_t seed) {
  SimilarityFit fit;
  fit.similarity.constant = kNotEstimable;
  fit.documents = records.shape.documents;
  fit.lags = AssumptionLayout::lags(records.visible(layer));
  fit.decay_reason = FitReason::too_few_lags;
  if (fit.documents < kLeastDocuments) {
    fit.reason = fit.decay_reason = FitReason::too_few_documents;
    return fit;
  }
  if (fit.lags == 0) {
    fit.reason = FitReason::too_few_tokens_for_norms;
    return fit;
  }
  std::vector<LagCurve> curves;
  for (std::size_t d = 0; d < fit.documents; ++d) {
    curves.push_back(document_curve(records, d, layer, kv_head));
  }
  const LagCurve pooled = pool(curves, 0, 1);
  // Zero norms may leave single documents or lags without pairs.
  const auto usable = std::count_if(curves.begin(), curves.end(), [](const LagCurve& curve) {
    return curve.pairs[0] > 0.0 && !std::isnan(mean_from(curve, curve.means.size() / 2));
  });
  if (static_cast<std::size_t>(usable) < kLeastDocuments) {
    fit.reason = fit.decay_reason = FitReason::zero_norms;
    return fit;
  }
  const double constant = mean_from(pooled, 0);
  if (fit.lags >= kLeastLags) {
    const DecayGrid grid(fit.lags);
    const ExponentialDecay decay = grid.fit(pooled);
    fit.constant = decay.constant;
    fit.amplitude = decay.amplitude;
    fit.length = decay.length;
    fit.held_out_r_squared = held_out_r_squared(grid, curves);
    bootstrap(fit, grid, curves, seed);
    fit.decay_reason = judge_decay(fit);
  }
  if (fit.decay_reason == FitReason::estimated) {
    fit.similarity = {fit.constant, fit.amplitude, fit.length};
  } else {
    fit.similarity.constant = constant;
  }
  describe_errors(fit, pooled, curves);
  return fit;
}

SinkSimilarityFit fit_sink_similarity(const AssumptionView& records, std::size_t layer,
                                      std::size_t kv_head) {
  SinkSimilarityFit fit;
  std::vector<double> means;
  for (std::size_t d = 0; d < records.shape.documents; ++d) {
    const double cosine = double{records.sink_cosines[records.kv_index(d, layer, kv_head)]};
    if (!std::isnan(cosine)) means.push_back(cosine);
  }
  fit.documents = means.size();
  if (records.shape.documents < kLeastDocuments) {
    fit.reason = FitReason::too_few_documents;
  } else if (!records.sink_visible(layer)) {
    fit.reason = FitReason::no_sink_visible;
  } else if (records.visible(layer) < 2) {
    fit.reason = FitReason::too_few_tokens_for_norms;
  } else if (means.size() < kLeastDocuments) {
    fit.reason = FitReason::zero_norms;
  } else {
    fit.mean = mean(means);
    fit.spread = standard_deviation(means);
    fit.error = fit.spread / std::sqrt(static_cast<double>(means.size()));
  }
  return fit;
}

EffectiveRankFit fit_effective_rank(const AssumptionView& records, std::size_t layer,
                                    std::size_t kv_head) {
  EffectiveRankFit fit;
  std::vector<double> ranks;
  for (std::size_t d = 0; d < records.shape.documents; ++d) {
    const double rank = double{records.effective_ranks[records.kv_index(d, layer, kv_head)]};
    if (!std::isnan(rank)) ranks.push_back(rank);
  }
  if (records.shape.documents < kLeastDocuments) {
    fit.reason = FitReason::too_few_documents;
  } else if (ranks.size() < kLeastDocuments) {
    fit.reason = ranks.empty() ? FitReason::not_recorded : FitReason::zero_norms;
  } else {
    fit.mean = mean(ranks);
    fit.spread = standard_deviation(ranks);
  }
  return fit;
}

}  // namespace toplens
