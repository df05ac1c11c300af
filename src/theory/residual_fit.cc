#include "theory/residual_fit.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace toplens {

namespace {

constexpr double kNotEstimable = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t kLeastCompetitors = 16;
/// Below this share of |s|^2 what the sink leaves of it is rounding.
constexpr double kNothingLeft = 1e-12;

}  // namespace

void ResidualFit::add(const RankedTokens& tokens, const ResidualSample& sample) {
  assert(sample.set_size == static_cast<std::size_t>(set_size_));
  const double norm = std::sqrt(std::max(sample.squared_aggregate_norm, 0.0));
  if (norm == 0.0) return;
  const std::size_t n = sample.set_size;
  const std::size_t competitors_end = n + std::max(kLeastCompetitors, n);
  Moments own;
  for (std::size_t r = 0; r < tokens.size(); ++r) {
    const bool sink = tokens.is_sink(r);
    if (r < n) {
      if (sink) add_selected_sink(tokens, sample, r);
      continue;
    }
    const std::size_t token = tokens.order[r];
    if (sample.norms[token] == 0.0) {
      ++zero_norms_;
      continue;
    }
    const double residual =
        (sample.products[token] / sample.norms[token] - sample.others[r]) / norm;
    if (sink) {
      unselected_sink_.add(residual);
      continue;
    }
    all_.add(residual);
    if (r < competitors_end) {
      competitors_.add(residual);
      own.add(residual);
    }
  }
  if (own.count > 0) document_means_.push_back(own.sum / static_cast<double>(own.count));
}

void ResidualFit::add_selected_sink(const RankedTokens& tokens, const ResidualSample& sample,
                                    std::size_t rank) {
  const double w = tokens.contributions[0];
  const double norm = sample.norms[0];
  if (norm == 0.0) return;
  const double product = sample.products[0] * w / norm;  // <y_0, s>
  const double rest = sample.squared_aggregate_norm - 2.0 * product + w * w;
  if (rest <= kNothingLeft * sample.squared_aggregate_norm) return;
  selected_sink_.add((sample.products[0] / norm - w - sample.others[rank]) / std::sqrt(rest));
}

Residuals ResidualFit::residuals(double dimension, const Moments& pooled) const {
  Residuals result;
  result.set_size = set_size_;
  result.beta = result.sigma = result.sink_sigma = kNotEstimable;
  if (pooled.count == 0) return result;
  const auto count = static_cast<double>(pooled.count);
  result.beta = pooled.sum / count;
  result.sigma = std::sqrt(
      dimension * std::max(0.0, pooled.sum_of_squares / count - result.beta * result.beta));
  const std::size_t sinks = unselected_sink_.count + selected_sink_.count;
  if (sinks > 0) {
    const double about_beta =
        unselected_sink_.sum_of_squares - 2.0 * result.beta * unselected_sink_.sum +
        result.beta * result.beta * static_cast<double>(unselected_sink_.count);
    result.sink_sigma =
        std::sqrt(dimension * std::max(0.0, about_beta + selected_sink_.sum_of_squares) /
                  static_cast<double>(sinks));
  }
  return result;
}

double ResidualFit::beta_spread() const {
  const auto documents = static_cast<double>(document_means_.size());
  if (documents < 2.0) return kNotEstimable;
  double mean = 0.0;
  for (const double x : document_means_) mean += x / documents;
  double squares = 0.0;
  for (const double x : document_means_) squares += (x - mean) * (x - mean);
  return std::sqrt(squares / (documents - 1.0));
}

}  // namespace toplens
