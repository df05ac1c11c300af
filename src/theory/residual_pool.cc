#include "theory/residual_pool.h"

#include <algorithm>
#include <cmath>

#include "statistics/moments.h"

namespace toplens {

void ResidualPool::Moments::add(double x) {
  ++count;
  sum += x;
  squares += x * x;
}

double ResidualPool::Moments::sum_about(double centre) const {
  return std::max(0.0, squares - 2.0 * centre * sum + centre * centre * static_cast<double>(count));
}

void ResidualPool::add(const SizeRecord& record, std::span<const double> expected,
                       std::size_t sink_rank) {
  near_duplicates_.push_back(record.near_duplicates);
  const double norm = record.aggregate_norm;
  const std::size_t visible = expected.size();
  Moments own;
  for (std::size_t k = 0; k < record.competitors.size(); ++k) {
    const std::size_t rank = record.set_size + k;
    if (rank == sink_rank) continue;
    const double cosine = double{record.competitors[k]};
    if (std::isnan(cosine)) {
      ++zero_norms_;
      continue;
    }
    own.add(cosine - expected[rank] / norm);  // theory.md (11)
  }
  competitors_.count += own.count;
  competitors_.sum += own.sum;
  competitors_.squares += own.squares;
  if (own.count > 0) {
    document_betas_.push_back(own.mean());
    document_spreads_.push_back(
        std::sqrt(own.sum_about(own.mean()) / static_cast<double>(own.count)));
  }
  sampled_ += record.others.size();
  for (std::size_t k = 0; k < record.others.size(); ++k) {
    const std::size_t rank =
        AssumptionLayout::sampled_rank(record.set_size, visible, record.others.size(), k);
    const double cosine = double{record.others[k]};
    if (rank != sink_rank && !std::isnan(cosine)) others_.add(cosine - expected[rank] / norm);
  }
  if (sink_rank < visible && !std::isnan(record.sink_cosine)) {
    const double residual = record.sink_cosine - expected[sink_rank] / record.sink_aggregate_norm;
    (sink_rank < record.set_size ? selected_sink_ : unselected_sink_).add(residual);
  }
}

ResidualEstimate ResidualPool::estimate(int set_size, double dimension, bool sink_visible) const {
  ResidualEstimate result;
  result.num_competitors = competitors_.count;
  result.zero_norms = zero_norms_;
  result.sinks_unselected = unselected_sink_.count;
  result.sinks_selected = selected_sink_.count;
  result.near_duplicates = mean(near_duplicates_);
  const bool others_are_zero = sampled_ > 0 && others_.count == 0;
  result.reason = document_betas_.size() >= kLeastDocuments && !others_are_zero
                      ? FitReason::estimated
                  : competitors_.count == 0 || others_are_zero ? FitReason::no_competitors
                                                               : FitReason::too_few_competitors;
  result.competitors.set_size = result.all_unselected.set_size = set_size;
  result.competitors.beta = result.competitors.sigma = kNotEstimable;
  result.all_unselected.beta = result.all_unselected.sigma = kNotEstimable;
  result.beta_spread = standard_deviation(document_betas_);
  result.sigma_spread = std::sqrt(dimension) * standard_deviation(document_spreads_);
  result.near_duplicates_spread = standard_deviation(near_duplicates_);
  const std::size_t sinks = unselected_sink_.count + selected_sink_.count;
  result.sink_reason = !sink_visible ? FitReason::no_sink_visible
                       : sinks == 0  ? FitReason::zero_norms
                                     : result.reason;
  if (result.reason == FitReason::estimated) {
    result.competitors = competitors(set_size, dimension);
    result.all_unselected = residuals(others_, set_size, dimension);
  }
  return result;
}

Residuals ResidualPool::competitors(int set_size, double dimension) const {
  Residuals result = residuals(competitors_, set_size, dimension);
  const std::size_t sinks = unselected_sink_.count + selected_sink_.count;
  if (sinks > 0 && competitors_.count > 0) {
    const double squares = unselected_sink_.sum_about(result.beta) + selected_sink_.sum_about(0.0);
    result.sink_sigma = std::sqrt(dimension * squares / static_cast<double>(sinks));
  }
  return result;
}

Residuals ResidualPool::residuals(const Moments& moments, int set_size, double dimension) {
  Residuals result;
  result.set_size = set_size;
  result.beta = result.sigma = kNotEstimable;
  if (moments.count == 0) return result;
  result.beta = moments.mean();
  result.sigma =
      std::sqrt(dimension * moments.sum_about(result.beta) / static_cast<double>(moments.count));
  return result;
}

}  // namespace toplens
