#include "theory/residuals.h"

#include <algorithm>
#include <cmath>

#include "statistics/moments.h"
#include "theory/ranked_tokens.h"

namespace toplens {

namespace {

struct Moments {
  std::size_t count = 0;
  double sum = 0.0;
  double squares = 0.0;

  void add(double x) {
    ++count;
    sum += x;
    squares += x * x;
  }
  double mean() const { return sum / static_cast<double>(count); }
  double sum_about(double centre) const {
    return std::max(0.0,
                    squares - 2.0 * centre * sum + centre * centre * static_cast<double>(count));
  }
};

/// The residuals of one set size and ranking, gathered over documents.
struct Pool {
  Moments competitors, others;
  Moments unselected_sink;  // about beta
  Moments selected_sink;    // against s - y_0, about 0
  std::vector<double> document_betas;
  std::vector<double> near_duplicates;
  std::size_t zero_norms = 0;

  void add(const SizeRecord& record, std::span<const double> expected, std::size_t sink_rank) {
    near_duplicates.push_back(record.near_duplicates);
    const double norm = record.aggregate_norm;
    const std::size_t visible = expected.size();
    Moments own;
    for (std::size_t k = 0; k < record.competitors.size(); ++k) {
      const std::size_t rank = record.set_size + k;
      if (rank == sink_rank) continue;
      const double cosine = double{record.competitors[k]};
      if (std::isnan(cosine)) {
        ++zero_norms;
        continue;
      }
      own.add(cosine - expected[rank] / norm);  // theory.md (11)
    }
    competitors.count += own.count;
    competitors.sum += own.sum;
    competitors.squares += own.squares;
    if (own.count > 0) document_betas.push_back(own.mean());
    for (std::size_t k = 0; k < record.others.size(); ++k) {
      const std::size_t rank =
          AssumptionLayout::sampled_rank(record.set_size, visible, record.others.size(), k);
      const double cosine = double{record.others[k]};
      if (rank != sink_rank && !std::isnan(cosine)) others.add(cosine - expected[rank] / norm);
    }
    if (sink_rank < visible && !std::isnan(record.sink_cosine)) {
      const double residual = record.sink_cosine - expected[sink_rank] / record.sink_aggregate_norm;
      (sink_rank < record.set_size ? selected_sink : unselected_sink).add(residual);
    }
  }

  ResidualEstimate estimate(int set_size, double dimension, bool sink_visible) const {
    ResidualEstimate result;
    result.num_competitors = competitors.count;
    result.zero_norms = zero_norms;
    result.sinks_unselected = unselected_sink.count;
    result.sinks_selected = selected_sink.count;
    result.near_duplicates = mean(near_duplicates);
    result.competitors = residuals(competitors, set_size, dimension);
    result.all_unselected = residuals(others, set_size, dimension);
    result.reason = document_betas.size() >= kLeastDocuments && others.count > 0
                        ? FitReason::estimated
                        : FitReason::no_competitors;
    result.beta_spread = standard_deviation(document_betas);
    const std::size_t sinks = unselected_sink.count + selected_sink.count;
    result.sink_reason = !sink_visible ? FitReason::no_sink_visible
                         : sinks == 0  ? FitReason::zero_norms
                                       : result.reason;
    if (result.sink_reason == FitReason::estimated) {
      const double squares =
          unselected_sink.sum_about(result.competitors.beta) + selected_sink.sum_about(0.0);
      result.competitors.sink_sigma = std::sqrt(dimension * squares / static_cast<double>(sinks));
    }
    return result;
  }

  static Residuals residuals(const Moments& moments, int set_size, double dimension) {
    Residuals result;
    result.set_size = set_size;
    result.beta = result.sigma = kNotEstimable;
    if (moments.count == 0) return result;
    result.beta = moments.mean();
    result.sigma =
        std::sqrt(dimension * moments.sum_about(result.beta) / static_cast<double>(moments.count));
    return result;
  }
};

ResidualEstimate not_estimable(int set_size, FitReason reason) {
  ResidualEstimate estimate;
  estimate.reason = estimate.sink_reason = reason;
  for (Residuals* residuals : {&estimate.competitors, &estimate.all_unselected}) {
    residuals->set_size = set_size;
    residuals->beta = residuals->sigma = kNotEstimable;
  }
  return estimate;
}

}  // namespace

std::vector<RankingResidualFit> fit_residuals(const AssumptionView& records, std::size_t layer,
                                              std::size_t head, const SimilarityDecay& similarity,
                                              FitReason similarity_reason, double sink_similarity) {
  const RecordedShape& shape = records.shape;
  const AssumptionLayout& layout = shape.layout;
  const std::size_t defined =
      similarity_reason == FitReason::estimated ? records.defined_sizes(layer) : 0;
  const std::size_t kv_head = shape.kv_head_of(head);
  const bool sink_visible = records.sink_visible(layer);
  std::vector<std::size_t> sizes;
  for (std::size_t n = 0; n < defined; ++n) sizes.push_back(layout.set_size(n));

  std::vector<RankingResidualFit> fits;
  std::vector<Pool> pools(layout.rankings.size() * defined);
  TokenRanker ranker;
  SimilaritySums sums;
  std::vector<double> contributions;
  for (std::size_t d = 0; d < shape.documents && defined > 0; ++d) {
    const std::span<const float> weights = records.weights_of(d, layer, head);
    recorded_contributions(weights, records.norms_of(d, layer, kv_head), contributions);
    for (std::size_t r = 0; r < layout.rankings.size(); ++r) {
      RankedTokens tokens;
      tokens.contributions = contributions;
      tokens.order =
          recorded_order(ranker, layout, layout.rankings[r], d, shape.first_layer + layer, head,
                         records.first_token(layer), weights, contributions);
      tokens.sink_visible = sink_visible;
      // A sink without a norm contributes nothing, whatever its similarity.
      sums.compute(tokens, similarity, std::isnan(sink_similarity) ? 0.0 : sink_similarity, sizes);
      std::size_t sink_rank = tokens.size();
      for (std::size_t k = 0; sink_visible && k < tokens.size(); ++k) {
        if (tokens.order[k] == 0) sink_rank = k;
      }
      for (std::size_t n = 0; n < defined; ++n) {
        pools[r * defined + n].add(records.size_of(d, layer, head, r, n), sums.others(n),
                                   sink_rank);
      }
    }
  }
  for (std::size_t r = 0; r < layout.rankings.size(); ++r) {
    RankingResidualFit fit;
    fit.ranking = layout.rankings[r];
    for (std::size_t n = 0; n < layout.set_sizes.size(); ++n) {
      fit.sizes.push_back(
          n < defined ? pools[r * defined + n].estimate(
                            layout.set_sizes[n], static_cast<double>(shape.head_dim), sink_visible)
                      : not_estimable(layout.set_sizes[n], similarity_reason == FitReason::estimated
                                                               ? FitReason::too_few_tokens
                                                               : similarity_reason));
    }
    fits.push_back(std::move(fit));
  }
  return fits;
}

}  // namespace toplens
