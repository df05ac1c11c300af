#include "theory/generative_model.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>
#include <toplens/error.h>

#include "kernels/normal_draws.h"
#include "theory/attention_profile.h"

namespace toplens {

namespace {

constexpr int kSpikes = 4;
constexpr std::uint64_t kHeadStream = 1, kDocumentStream = 2;

double norm(std::span<const float> x) {
  double sum = 0.0;
  for (const float component : x) sum += double{component} * component;
  return std::sqrt(sum);
}

void normalise(std::span<float> x) {
  const auto scale = static_cast<float>(1.0 / norm(x));
  for (float& component : x) component *= scale;
}

struct AmountRange {
  Violation violation;
  double least, most;
  bool most_included;
};
constexpr std::array<AmountRange, 7> kAmounts = {{
    {Violation::none, 0.0, 0.0, true},
    {Violation::heavy_tailed_norms, 0.0, 0.5, false},
    {Violation::uncompressed_sink, 0.0, 100.0, true},
    {Violation::no_decay, 0.0, 1.0, true},
    {Violation::slow_decay, 1.0, 1e6, true},
    {Violation::induction_spikes, 0.0, 1.0, false},
    {Violation::second_sink, 0.0, 1.0, true},
}};

}  // namespace

void check(const ViolationAmount& violation) {
  for (const AmountRange& row : kAmounts) {
    if (row.violation != violation.violation) continue;
    const double amount = violation.amount;
    if (amount >= row.least && (amount < row.most || (row.most_included && amount == row.most))) {
      return;
    }
    throw Error(fmt::format("violation {}: amount {} is not allowed: expected {} to {}{}",
                            name(row.violation), amount, row.least, row.most,
                            row.most_included ? "" : ", that itself not included"));
  }
}

GenerativeParameters parameters_as_fitted(const GenerativeParameters& parameters,
                                          const ViolationAmount& violation) {
  GenerativeParameters fitted = parameters;
  const double amount = violation.amount;
  switch (violation.violation) {
    case Violation::heavy_tailed_norms: {
      // Second moment of a Pareto factor of mean 1 with tail index 1 / amount.
      const double second = (1.0 - amount) * (1.0 - amount) / (1.0 - 2.0 * amount);
      const double delta = parameters.norm_spread;
      fitted.norm_spread = std::sqrt((1.0 + delta * delta) * second - 1.0);
      break;
    }
    case Violation::uncompressed_sink:
      fitted.sink_norm_ratio = amount;
      break;
    case Violation::no_decay:
      fitted.decay_amplitude *= 1.0 - amount;
      break;
    case Violation::slow_decay:
      fitted.decay_length *= amount;
      break;
    case Violation::none:
    case Violation::induction_spikes:
    case Violation::second_sink:
      break;
  }
  return fitted;
}

GenerativeHead::GenerativeHead(const GenerativeParameters& parameters,
                               const ViolationAmount& violation, std::uint64_t seed,
                               std::uint64_t head)
    : parameters_(parameters), violation_(violation), seed_(seed), head_(head) {
  check(parameters);
  check(violation);
  const auto dimension = static_cast<std::size_t>(parameters.dimension);
  Random random(seed, {kHeadStream, head});
  direction_.resize(dimension);
  sink_direction_.resize(dimension);
  normal_draws(random, direction_);
  normalise(direction_);
  normal_draws(random, sink_direction_);
  double along = 0.0;
  for (std::size_t c = 0; c < dimension; ++c) along += double{sink_direction_[c]} * direction_[c];
  for (std::size_t c = 0; c < dimension; ++c) {
    sink_direction_[c] -= static_cast<float>(along) * direction_[c];
  }
  normalise(sink_direction_);  // m_perp
  const double b = parameters.similarity;
  const double share = b > 0.0 ? parameters.sink_similarity / std::sqrt(b) : 0.0;
  const double rest = std::sqrt(std::max(0.0, 1.0 - share * share));
  for (std::size_t c = 0; c < dimension; ++c) {
    sink_direction_[c] = static_cast<float>(share * direction_[c] + rest * sink_direction_[c]);
  }
}

std::vector<double> GenerativeHead::draw_weights(Random& random) const {
  const GenerativeParameters& p = parameters_;
  const auto length = static_cast<std::size_t>(p.length);
  std::vector<float> normal(length);
  normal_draws(random, normal);
  std::vector<double> recency(length - 1), middle(length - 1);
  for (std::size_t k = 0; k + 1 < length; ++k) {
    const auto position = static_cast<double>(k + 1);
    recency[k] = -(p.length - 1.0 - position) / p.recency_length;
    middle[k] = p.oscillation * std::cos(2.0 * std::numbers::pi * position / p.period) +
                p.jitter * double{normal[k + 1]};
  }
  normalise_log_weights(recency);
  normalise_log_weights(middle);
  std::vector<double> weights(length);
  weights[0] = p.sink_mass;
  for (std::size_t k = 0; k + 1 < length; ++k) {
    weights[k + 1] =
        (1.0 - p.sink_mass) * (p.recency_share * recency[k] + (1.0 - p.recency_share) * middle[k]);
  }
  if (violation_.violation == Violation::induction_spikes) {
    for (std::size_t i = 1; i < length; ++i) weights[i] *= 1.0 - violation_.amount;
    for (int spike = 0; spike < kSpikes; ++spike) {
      weights[1 + random.below(length - 1)] += (1.0 - p.sink_mass) * violation_.amount / kSpikes;
    }
  } else if (violation_.violation == Violation::second_sink) {
    weights[length / 2] = violation_.amount * p.sink_mass;
    double sum = 0.0;
    for (const double w : weights) sum += w;
    for (double& w : weights) w /= sum;
  }
  return weights;
}

void GenerativeHead::draw_values(Random& random, std::vector<float>& values) const {
  const GenerativeParameters p = parameters_as_fitted(parameters_, violation_);
  const auto length = static_cast<std::size_t>(p.length);
  const auto dimension = static_cast<std::size_t>(p.dimension);
  values.resize(length * dimension);
  for (std::size_t c = 0; c < dimension; ++c) {
    values[c] = static_cast<float>(p.sink_norm_ratio * sink_direction_[c]);
  }
  const double correlation = std::exp(-1.0 / p.decay_length);
  const auto keep = static_cast<float>(correlation);
  const auto renew = static_cast<float>(std::sqrt(1.0 - correlation * correlation));
  const double scale = 1.0 / std::sqrt(p.dimension);
  const auto of_m = static_cast<float>(std::sqrt(p.similarity));
  const auto of_x = static_cast<float>(std::sqrt(p.decay_amplitude) * scale);
  const auto of_e =
      static_cast<float>(std::sqrt(std::max(0.0, 1.0 - p.decay_amplitude - p.similarity)) * scale);

  std::vector<float> normal(length), norms(length);
  normal_draws(random, normal);
  log_normal_from_normal(normal, parameters_.norm_spread, norms);
  if (violation_.violation == Violation::heavy_tailed_norms) {
    for (float& n : norms) {
      n *= static_cast<float>((1.0 - violation_.amount) *
                              std::pow(1.0 - random.uniform(), -violation_.amount));
    }
  }
  std::vector<float> process(dimension), noise(dimension), independent(dimension);
  normal_draws(random, process);
  for (std::size_t i = 1; i < length; ++i) {
    normal_draws(random, noise);
    normal_draws(random, independent);
    const std::span<float> value(values.data() + i * dimension, dimension);
    for (std::size_t c = 0; c < dimension; ++c) {
      process[c] = keep * process[c] + renew * noise[c];
      value[c] = of_m * direction_[c] + of_x * process[c] + of_e * independent[c];
    }
    const auto rescale = static_cast<float>(double{norms[i]} / norm(value));
    for (float& component : value) component *= rescale;
  }
  if (violation_.violation == Violation::second_sink) {
    std::copy_n(values.begin(), dimension,
                values.begin() + static_cast<std::ptrdiff_t>(length / 2 * dimension));
  }
}

DrawnDocument GenerativeHead::draw(std::uint64_t document) const {
  Random random(seed_, {kDocumentStream, head_, document});
  DrawnDocument drawn;
  const std::vector<double> weights = draw_weights(random);
  drawn.attention.assign(weights.begin(), weights.end());
  draw_values(random, drawn.values);
  return drawn;
}

}  // namespace toplens
