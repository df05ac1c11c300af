#include "theory/predictive_model.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "kernels/gram.h"
#include "kernels/normal_draws.h"
#include "kernels/scalar_model.h"

namespace toplens {

std::vector<std::size_t> envelope_documents(const EnvelopeOptions& options, std::size_t available) {
  std::size_t count = available;
  if (options.documents > 0) count = std::min(count, static_cast<std::size_t>(options.documents));
  std::vector<std::size_t> chosen(count);
  for (std::size_t k = 0; k < count; ++k) chosen[k] = k * available / count;
  return chosen;
}

PredictiveModel::PredictiveModel(int draws) : draws_(static_cast<std::size_t>(draws)) {
  assert(draws >= 1);
}

void PredictiveModel::start(std::size_t tokens, Random random) {
  tokens_ = tokens;
  stride_ = padded_to_lanes(tokens);
  z_.resize(draws_ * stride_);
  normal_.resize(draws_ * stride_);
  norms_.resize(draws_ * stride_);
  normal_draws(random, z_);
  normal_draws(random, normal_);
  for (AlignedVector<double>* array :
       {&means_, &variances_, &linear_, &noise_, &square_, &scores_}) {
    array->assign(stride_ + kLaneBlock, 0.0);
  }
}

void PredictiveModel::prepare_norms(const RankedTokens& tokens, double norm_spread) {
  log_normal_from_normal(normal_, norm_spread, norms_);
  if (!tokens.sink_visible) return;
  const std::size_t sink = static_cast<std::size_t>(
      std::find(tokens.order.begin(), tokens.order.end(), 0u) - tokens.order.begin());
  for (std::size_t k = 0; k < draws_; ++k) norms_[k * stride_ + sink] = 1.0f;
}

void PredictiveModel::evaluate(const RankedTokens& tokens, const HeadAssumptions& assumptions,
                               double norm_spread, std::span<const Residuals> residuals,
                               std::span<Envelope> envelopes) {
  assert(tokens.size() == tokens_ && residuals.size() == envelopes.size());
  sizes_.clear();
  for (const Residuals& size : residuals) {
    if (static_cast<std::size_t>(size.set_size) < tokens_) {
      sizes_.push_back(static_cast<std::size_t>(size.set_size));
    }
  }
  sums_.compute(tokens, assumptions.similarity, assumptions.sink_similarity, sizes_);
  prepare_norms(tokens, norm_spread);
  for (std::size_t n = 0; n < envelopes.size(); ++n) {
    envelopes[n] = Envelope();
    if (n >= sizes_.size()) continue;
    if (sizes_[n] == 1) {  // (9)
      envelopes[n] = {Separation::perfect(), Separation::perfect(), Separation::perfect()};
      continue;
    }
    if (std::isnan(residuals[n].beta) || std::isnan(residuals[n].sigma)) continue;
    prepare_size(tokens, assumptions, norm_spread, n, residuals[n]);
    bound(sizes_[n], envelopes[n]);
    envelopes[n].centre = centre(sizes_[n]);
  }
}

void PredictiveModel::prepare_size(const RankedTokens& tokens, const HeadAssumptions& assumptions,
                                   double norm_spread, std::size_t size_index,
                                   const Residuals& residuals) {
  const std::size_t n = sizes_[size_index];
  const std::span<const double> others = sums_.others(size_index);
  const double squared_norm = sums_.squared_norm(size_index);
  const double norm = std::sqrt(squared_norm);
  const double noise_scale = 1.0 / std::sqrt(assumptions.dimension);
  for (std::size_t r = 0; r < tokens_; ++r) {
    const bool sink = tokens.is_sink(r);
    const bool selected = r < n;
    const double w = tokens.contribution_at(r);
    const double sigma = sink ? residuals.sigma_of_sink() : residuals.sigma;
    const double delta = sink ? 0.0 : norm_spread;
    // |s - y_i| of (20); |s| for T.
    const double rest =
        selected ? std::sqrt(std::max(0.0, squared_norm - w * (w + 2.0 * others[r]))) : norm;
    linear_[r] = 2.0 * w * (others[r] + (selected ? 0.0 : residuals.beta * norm));
    noise_[r] = 2.0 * w * sigma * rest * noise_scale;
    square_[r] = selected ? w * w : -w * w;
    // (21); the derivative of g by n at n = 1 is 2 w (C W)_i in S, 2 w ((C W)_j - w_j) in T.
    means_[r] = linear_[r] + square_[r] * (1.0 + delta * delta);
    const double norm_noise = 2.0 * w * delta * (others[r] + (selected ? w : -w));
    variances_[r] = noise_[r] * noise_[r] + norm_noise * norm_noise;
  }
}

void PredictiveModel::bound(std::size_t set_size, Envelope& envelope) {
  const std::span<const double> means(means_.data(), tokens_);
  const std::span<const double> variances(variances_.data(), tokens_);
  pairs_.start(means.subspan(set_size), variances.subspan(set_size));
  double capped_rows = 0.0;  // sum_i min(1, sum_j p_ij)
  double row_maxima = 0.0;
  double largest = 0.0;
  for (std::size_t i = 0; i < set_size; ++i) {
    const PairTails row = pairs_.add(means[i], variances[i]);
    capped_rows += std::min(1.0, row.sum);
    row_maxima += row.largest;
    largest = std::max(largest, row.largest);
  }
  double capped_columns = 0.0;
  for (const float sum : pairs_.column_sums()) capped_columns += std::min(1.0, double{sum});
  double column_maxima = 0.0;
  for (const float most : pairs_.column_maxima()) column_maxima += double{most};

  const auto n = static_cast<double>(set_size);
  Separation& lower = envelope.lower;  // (22)
  lower.precision = n / (n + capped_columns);
  lower.recall = 1.0 - capped_rows / n;
  lower.f_score = std::max(0.0, lower.precision + lower.recall - 1.0);
  Separation& upper = envelope.upper;  // (23)
  upper.precision =
      1.0 - std::max(largest / (n + 1.0), column_maxima / static_cast<double>(tokens_));
  upper.recall = 1.0 - row_maxima / n;
  upper.f_score = 2.0 * upper.precision * upper.recall / (upper.precision + upper.recall);
}

Separation PredictiveModel::centre(std::size_t set_size) {
  const ScalarModel model{linear_.data(), noise_.data(), square_.data(), set_size, tokens_};
  const auto n = static_cast<double>(set_size);
  Separation sum = Separation::zero();
  for (std::size_t k = 0; k < draws_; ++k) {
    const ScalarModelCounts counts =
        count_draw(model, z_.data() + k * stride_, norms_.data() + k * stride_, scores_.data());
    const double precision = n / (n + static_cast<double>(counts.contaminating));
    const double recall = static_cast<double>(counts.clear) / n;
    sum += {precision, recall, 2.0 * precision * recall / (precision + recall)};
  }
  return sum / static_cast<double>(draws_);
}

}  // namespace toplens
