#include "theory/conditional_bound.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "kernels/normal_tail.h"

namespace toplens {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Separation from_sums(double precision_sum, double recall_sum, double n) {
  Separation bound;
  bound.precision = n / (n + precision_sum);                            // (15)
  bound.recall = std::max(0.0, 1.0 - recall_sum / n);                   // (16)
  bound.f_score = std::max(0.0, bound.precision + bound.recall - 1.0);  // (17)
  return bound;
}

}  // namespace

void ConditionalBounds::evaluate(const RankedTokens& tokens, const HeadAssumptions& assumptions,
                                 std::span<const SelectedScores> selected,
                                 std::span<const Residuals> residuals,
                                 std::span<ConditionalBound> bounds) {
  assert(selected.size() == residuals.size() && selected.size() == bounds.size());
  sizes_.clear();
  for (const SelectedScores& size : selected) {
    if (size.set_size < tokens.size()) sizes_.push_back(size.set_size);
  }
  sums_.compute(tokens, assumptions.similarity, assumptions.sink_similarity, sizes_);
  for (std::size_t n = 0; n < bounds.size(); ++n) {
    const bool known = !std::isnan(residuals[n].beta) && !std::isnan(residuals[n].sigma);
    bounds[n] = n < sizes_.size() && known
                    ? evaluate_size(tokens, assumptions.dimension, sums_.others(n), selected[n],
                                    residuals[n])
                    : ConditionalBound();
  }
}

ConditionalBound ConditionalBounds::evaluate_size(const RankedTokens& tokens, double dimension,
                                                  std::span<const double> inner,
                                                  const SelectedScores& selected,
                                                  const Residuals& residuals) {
  const std::size_t n = selected.set_size;
  const std::size_t competitors = tokens.size() - n;
  centres_.resize(padded_to_tail_block(competitors));
  inverse_sds_.resize(centres_.size());

  const double smallest_score = *std::min_element(selected.scores.begin(), selected.scores.end());
  std::size_t moving = 0;  // tokens of T with noise
  // Tokens of T without noise (w_j = 0, |s| = 0 or sigma = 0) have g_j = q_j.
  std::vector<double>& fixed = fixed_scores_;
  fixed.clear();
  double margin = kInfinity;
  double largest_sd = 0.0;  // of g_j
  for (std::size_t r = n; r < tokens.size(); ++r) {
    const double w = tokens.contribution_at(r);
    const double centre = 2.0 * w * (inner[r] + residuals.beta * selected.aggregate_norm) - w * w;
    const double sigma = tokens.is_sink(r) ? residuals.sigma_of_sink() : residuals.sigma;
    const double sd = 2.0 * sigma * w * selected.aggregate_norm / std::sqrt(dimension);
    margin = std::min(margin, smallest_score - centre);
    largest_sd = std::max(largest_sd, sd);
    if (sd > 0.0) {
      centres_[moving] = centre;
      inverse_sds_[moving++] = 1.0 / sd;
    } else {
      fixed.push_back(centre);
    }
  }
  const std::size_t padded = padded_to_tail_block(moving);
  std::fill(centres_.begin() + static_cast<std::ptrdiff_t>(moving),
            centres_.begin() + static_cast<std::ptrdiff_t>(padded), kNoCompetitor);
  std::fill(inverse_sds_.begin() + static_cast<std::ptrdiff_t>(moving),
            inverse_sds_.begin() + static_cast<std::ptrdiff_t>(padded), 1.0);
  std::sort(fixed.begin(), fixed.end());

  const auto tails = [&](double score, double enough) {
    const auto reaching = static_cast<double>(
        fixed.end() - std::lower_bound(fixed.begin(), fixed.end(), score));  // [q_j >= score]
    TailSums sums;
    if (reaching < enough) {
      sums =
          competitor_tails(score, centres_.data(), inverse_sds_.data(), padded, enough - reaching);
    }
    sums.chernoff += reaching;
    sums.gaussian += reaching;
    return sums;
  };
  TailSums recall;
  for (const double score : selected.scores) {
    const TailSums sums = tails(score, 1.0);
    recall.chernoff += std::min(1.0, sums.chernoff);
    recall.gaussian += std::min(1.0, sums.gaussian);
  }
  const TailSums precision = tails(smallest_score, kInfinity);

  ConditionalBound bound;
  const auto size = static_cast<double>(n);
  bound.chernoff = from_sums(precision.chernoff, recall.chernoff, size);
  bound.gaussian = from_sums(precision.gaussian, recall.gaussian, size);
  bound.margin = margin;
  // (18)-(19) in terms of the largest sd, 2 sigma w |s| / sqrt(d).
  const auto others = static_cast<double>(competitors);
  if (margin > 0.0) {
    const double square = margin / largest_sd * (margin / largest_sd);
    bound.uniform_precision =
        largest_sd > 0.0 ? size / (size + others * std::exp(-0.5 * square)) : 1.0;
    bound.separating_dimension =
        largest_sd > 0.0 ? dimension * 2.0 * std::log(others / eta_) / square : 0.0;
  } else {
    bound.uniform_precision = 0.0;
    bound.separating_dimension = kInfinity;
  }
  return bound;
}

}  // namespace toplens
