#include "theory/theory_curve.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <toplens/error.h>

#include "kernels/normal_draws.h"
#include "theory/generative_model.h"
#include "theory/operating_regime.h"
#include "theory/sink_threshold.h"

namespace toplens {

namespace {

constexpr std::uint64_t kWeightStream = 21, kScalarStream = 22;

void check(const CurveOptions& options) {
  if (!(options.sigma >= 0.0 && std::isfinite(options.sigma))) {
    throw Error(fmt::format("sigma is {}: expected at least 0", options.sigma));
  }
  if (!(options.beta >= -1.0 && options.beta <= 1.0)) {
    throw Error(fmt::format("beta is {}: expected -1 to 1", options.beta));
  }
  if (options.weight_draws < 1 || options.draws < 1) {
    throw Error(fmt::format("weight draws {} and draws {}: expected at least 1 each",
                            options.weight_draws, options.draws));
  }
  if (options.ranking != Ranking::attention && options.ranking != Ranking::contribution) {
    throw Error(fmt::format("ranking {} has no prediction: expected attention or contribution",
                            name(options.ranking)));
  }
}

}  // namespace

TheoryCurve theory_curve(const GenerativeParameters& parameters, const CurveOptions& options) {
  check(options);
  const GenerativeHead head(parameters, {}, options.seed, 0);
  const HeadAssumptions assumptions = true_assumptions(parameters);
  TheoryCurve curve;
  std::vector<Residuals> residuals;
  for (const int size : options.set_sizes) {
    if (size >= parameters.length) continue;
    Residuals row;
    row.set_size = size;
    row.beta = options.beta;
    row.sigma = options.sigma;
    residuals.push_back(row);
    CurvePoint point;
    point.set_size = size;
    point.envelope = {Separation::zero(), Separation::zero(), Separation::zero()};
    curve.points.push_back(point);
  }
  if (curve.points.empty()) {
    throw Error(fmt::format("no set size is below the length {}", parameters.length));
  }
  curve.largest_size = curve.points.back().set_size;

  const auto length = static_cast<std::size_t>(parameters.length);
  const bool by_contribution = options.ranking == Ranking::contribution;
  PredictiveModel model(options.draws);
  TokenRanker ranker;
  std::vector<Envelope> envelopes(residuals.size());
  std::vector<int> critical;
  std::vector<double> thresholds(residuals.size(), 0.0);
  std::vector<float> norms(length);
  for (int k = 0; k < options.weight_draws; ++k) {
    const auto draw = static_cast<std::uint64_t>(k);
    Random random(options.seed, {kWeightStream, draw});
    const std::vector<double> weights = head.draw_weights(random);
    std::vector<double> contributions = assumed_contributions(weights, assumptions, true);
    if (by_contribution) {
      normal_draws(random, norms);
      log_normal_from_normal(norms, parameters.norm_spread, norms);
      for (std::size_t i = 1; i < length; ++i) contributions[i] *= double{norms[i]};
    }
    const RankedTokens tokens{
        contributions,
        ranker.by_score(std::span<const double>(by_contribution ? contributions : weights), length),
        true};
    model.start(length, Random(options.seed, {kScalarStream, draw}));
    model.evaluate(tokens, assumptions, by_contribution ? 0.0 : parameters.norm_spread, residuals,
                   envelopes);
    const std::size_t sink_rank = static_cast<std::size_t>(
        std::find(tokens.order.begin(), tokens.order.end(), 0u) - tokens.order.begin());
    for (std::size_t n = 0; n < residuals.size(); ++n) {
      CurvePoint& point = curve.points[n];
      point.envelope.lower += envelopes[n].lower;
      point.envelope.centre += envelopes[n].centre;
      point.envelope.upper += envelopes[n].upper;
      const auto size = static_cast<std::size_t>(point.set_size);
      if (sink_rank >= size) continue;
      point.sink_selected_share += 1.0;
      if (size >= 2) {
        thresholds[n] += sink_threshold(tokens, assumptions, size).similarity;
      }
    }
    critical.push_back(critical_size(tokens, assumptions, residuals, curve.largest_size)
                           .value_or(curve.largest_size + 1));
  }

  const double count = options.weight_draws;
  std::vector<SizedScore> predicted;
  for (std::size_t n = 0; n < residuals.size(); ++n) {
    CurvePoint& point = curve.points[n];
    point.envelope = {point.envelope.lower / count, point.envelope.centre / count,
                      point.envelope.upper / count};
    const double threshold = thresholds[n] / point.sink_selected_share;
    if (point.set_size >= 2 && std::isfinite(threshold)) point.sink_threshold = threshold;
    point.sink_selected_share /= count;
    predicted.push_back({point.set_size, point.envelope.centre.f_score});
  }
  curve.half_size = half_size(predicted);
  const auto middle = critical.begin() + static_cast<std::ptrdiff_t>(critical.size() / 2);
  std::nth_element(critical.begin(), middle, critical.end());
  if (*middle <= curve.largest_size) curve.critical_size = *middle;
  return curve;
}

}  // namespace toplens
