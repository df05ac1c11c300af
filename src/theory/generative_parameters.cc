#include "theory/generative_parameters.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>
#include <toplens/error.h>

namespace toplens {

namespace {

using P = GenerativeParameters;
constexpr std::array<GenerativeParameter, 14> kParameters = {{
    {"length", &P::length, 4, 1 << 20, 0, 0, true, true, "L, tokens visible to the query"},
    {"dim", &P::dimension, 2, 1 << 16, 0, 0, true, true, "d, dimension of the values"},
    {"sink-mass", &P::sink_mass, 0, 1, 0.05, 0.9, false, false, "Attention on token 0"},
    {"recency-share", &P::recency_share, 0, 1, 0.05, 0.6, false, false,
     "Share of the other mass that falls off from the query as exp(-(t-i)/mu)"},
    {"recency-length", &P::recency_length, 0.1, 1e6, 4, 64, true, false, "mu in tokens"},
    {"oscillation", &P::oscillation, 0, 20, 0, 1, false, false,
     "B, amplitude of the middle part's log-weight"},
    {"period", &P::period, 2, 1e6, 8, 128, true, false, "T0 in tokens"},
    {"jitter", &P::jitter, 0, 30, 0.5, 3, false, false,
     "Standard deviation of the middle part's log-weights"},
    {"norm-spread", &P::norm_spread, 0, 3, 0.05, 0.3, false, false,
     "delta, relative standard deviation of the value norms"},
    {"sink-norm-ratio", &P::sink_norm_ratio, 0, 100, 0.05, 0.6, false, false,
     "kappa, norm of the sink's value relative to the mean of the others"},
    {"similarity", &P::similarity, 0, 1, 0.05, 0.4, false, false,
     "b, mean cosine of distant values"},
    {"decay-amplitude", &P::decay_amplitude, 0, 1, 0.1, 0.5, false, false,
     "A: phi(k) = b + A exp(-k / lambda)"},
    {"decay-length", &P::decay_length, 0.01, 1e6, 4, 100, true, false, "lambda in tokens"},
    {"sink-similarity", &P::sink_similarity, -1, 1, -0.2, 0.2, false, false,
     "rho_0, mean cosine of the sink's value with the others"},
}};

double draw(const GenerativeParameter& parameter, Random& random) {
  const double u = random.uniform();
  if (parameter.logarithmic) return parameter.low * std::pow(parameter.high / parameter.low, u);
  return parameter.low + u * (parameter.high - parameter.low);
}

}  // namespace

std::span<const GenerativeParameter> generative_parameters() { return kParameters; }

void check_ranges(const GenerativeParameters& parameters) {
  for (const GenerativeParameter& row : kParameters) {
    const double value = parameters.*row.value;
    if (!(value >= row.least && value <= row.most)) {
      throw Error(fmt::format("{} is {}: expected {} to {}", row.name, value, row.least, row.most));
    }
    if (row.integer && value != std::floor(value)) {
      throw Error(fmt::format("{} is {}: expected a whole number", row.name, value));
    }
  }
}

void check(const GenerativeParameters& parameters) {
  check_ranges(parameters);
  const double b = parameters.similarity;
  const double rho = parameters.sink_similarity;
  if (b + parameters.decay_amplitude > 1.0) {
    throw Error(
        fmt::format("decay-amplitude {} and similarity {} add up to {}: cosines need at "
                    "most 1",
                    parameters.decay_amplitude, b, parameters.decay_amplitude + b));
  }
  if (rho * rho > b) {
    throw Error(
        fmt::format("sink-similarity {} is not possible with similarity {}: its square "
                    "must not exceed it",
                    rho, b));
  }
}

GenerativeParameters draw_parameters(const GenerativeParameters& kept,
                                     std::span<const std::string_view> fixed, Random& random) {
  const auto is_fixed = [&](std::string_view name) {
    return std::find(fixed.begin(), fixed.end(), name) != fixed.end();
  };
  GenerativeParameters drawn = kept;
  for (const GenerativeParameter& row : kParameters) {
    if (row.low == row.high) continue;
    const double value = draw(row, random);  // drawn always: the others do not depend on `fixed`
    if (!is_fixed(row.name)) drawn.*row.value = value;
  }
  // Conditions of (36) that a fixed parameter and drawn ones may break.
  if (!is_fixed("similarity")) {
    const double most = is_fixed("decay-amplitude") ? 1.0 - drawn.decay_amplitude : 1.0;
    const double least =
        is_fixed("sink-similarity") ? drawn.sink_similarity * drawn.sink_similarity : 0.0;
    drawn.similarity = std::clamp(drawn.similarity, std::min(least, most), most);
  }
  if (!is_fixed("decay-amplitude")) {
    drawn.decay_amplitude = std::min(drawn.decay_amplitude, 1.0 - drawn.similarity);
  }
  if (!is_fixed("sink-similarity")) {
    const double most = 0.95 * std::sqrt(drawn.similarity);
    drawn.sink_similarity = std::clamp(drawn.sink_similarity, -most, most);
  }
  return drawn;
}

HeadAssumptions true_assumptions(const GenerativeParameters& parameters) {
  HeadAssumptions assumptions;
  assumptions.dimension = parameters.dimension;
  assumptions.mean_norm = 1.0;
  assumptions.norm_spread = parameters.norm_spread;
  assumptions.sink_norm_ratio = parameters.sink_norm_ratio;
  assumptions.similarity.constant = parameters.similarity;
  assumptions.similarity.amplitude = parameters.decay_amplitude;
  if (parameters.decay_amplitude > 0.0) assumptions.similarity.length = parameters.decay_length;
  assumptions.sink_similarity = parameters.sink_similarity;
  return assumptions;
}

}  // namespace toplens
