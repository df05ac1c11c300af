#include "theory/run_theory.h"

#include <cmath>
#include <iterator>
#include <optional>

namespace toplens {

namespace {

/// The scores of the selected tokens, (6), from their recorded cosines with s.
std::vector<double> selected_scores(const SizeRecord& record, const RankedTokens& tokens) {
  std::vector<double> scores(record.set_size);
  for (std::size_t r = 0; r < record.set_size; ++r) {
    const double w = tokens.contribution_at(r);
    const double cosine = double{record.selected[r]};
    // Without a direction <y_i, s> = 0.
    const double product = std::isnan(cosine) ? 0.0 : record.aggregate_norm * cosine;
    scores[r] = w * (2.0 * product - w);
  }
  return scores;
}

std::optional<HeadAssumptions> assumptions_of(const HeadFit& fit, const RunTheoryOptions& options) {
  std::optional<HeadAssumptions> assumptions = fit.assumptions(options.dimension);
  if (!assumptions || options.residuals == ResidualSource::fitted) return assumptions;
  for (RankingResiduals& ranking : assumptions->residuals) {
    for (Residuals& size : ranking.sizes) {
      if (std::isnan(size.sigma)) continue;
      size.beta = 0.0;
      size.sigma = 1.0;
      size.sink_sigma = std::numeric_limits<double>::quiet_NaN();
    }
  }
  return assumptions;
}

}  // namespace

bool has_prediction(Ranking ranking) {
  return ranking == Ranking::attention || ranking == Ranking::contribution;
}

std::vector<MeasuredQuery> measured_queries(const AssumptionView& records,
                                            const RecordedSeparability& measured, std::size_t layer,
                                            std::size_t head, std::size_t ranking,
                                            TokenRanker& ranker) {
  const RecordedShape& shape = records.shape;
  const std::size_t sizes = records.defined_sizes(layer);
  std::vector<MeasuredQuery> queries(shape.documents);
  for (std::size_t d = 0; d < shape.documents; ++d) {
    MeasuredQuery& query = queries[d];
    const std::span<const float> weights = records.weights_of(d, layer, head);
    query.sink_visible = records.sink_visible(layer);
    query.attention.assign(weights.begin(), weights.end());
    recorded_contributions(weights, records.norms_of(d, layer, shape.kv_head_of(head)),
                           query.contributions);
    const std::span<const std::uint32_t> order = recorded_order(
        ranker, shape.layout, shape.layout.rankings[ranking], d, shape.first_layer + layer, head,
        records.first_token(layer), weights, query.contributions);
    query.order.assign(order.begin(), order.end());
    for (std::size_t n = 0; n < sizes; ++n) {
      const SizeRecord record = records.size_of(d, layer, head, ranking, n);
      query.selected_scores.push_back(selected_scores(record, query.tokens()));
      query.aggregate_norms.push_back(record.aggregate_norm);
      query.measured.push_back(measured(d, layer, head, ranking, n));
    }
  }
  return queries;
}

RunTheory evaluate_layers(const AssumptionView& records, const RecordedSeparability& measured,
                          const RunTheoryOptions& options, ThreadPool& pool) {
  const RecordedShape& shape = records.shape;
  RunTheory run;
  run.layers = shape.layers;
  run.heads = shape.heads;
  run.rankings = shape.layout.rankings;
  run.fits = fit_heads(records, options.seed, pool);
  run.heads_of.assign(run.rankings.size(), std::vector<HeadTheory>(run.fits.size()));
  std::vector<HeadEvaluator> evaluators;
  for (int worker = 0; worker < pool.size(); ++worker) evaluators.emplace_back(options.head);
  pool.parallel_for(run.fits.size(), [&](std::size_t index, int worker) {
    const std::size_t layer = index / shape.heads;
    const std::size_t head = index % shape.heads;
    std::vector<std::size_t> sizes;
    for (std::size_t n = 0; n < records.defined_sizes(layer); ++n) {
      sizes.push_back(shape.layout.set_size(n));
    }
    if (sizes.empty()) return;
    const std::optional<HeadAssumptions> assumptions = assumptions_of(run.fits[index], options);
    TokenRanker ranker;
    for (std::size_t r = 0; r < run.rankings.size(); ++r) {
      const std::vector<MeasuredQuery> queries =
          measured_queries(records, measured, layer, head, r, ranker);
      run.heads_of[r][index] = assumptions && has_prediction(run.rankings[r])
                                   ? evaluators[static_cast<std::size_t>(worker)].evaluate(
                                         shape.first_layer * shape.heads + index, *assumptions,
                                         run.rankings[r], sizes, queries)
                                   : HeadEvaluator::measured_alone(run.rankings[r], sizes, queries);
    }
  });
  return run;
}

void append_layers(RunTheory& run, RunTheory next) {
  if (run.layers == 0) {
    run = std::move(next);
    return;
  }
  run.layers += next.layers;
  std::move(next.fits.begin(), next.fits.end(), std::back_inserter(run.fits));
  for (std::size_t r = 0; r < run.heads_of.size(); ++r) {
    std::move(next.heads_of[r].begin(), next.heads_of[r].end(),
              std::back_inserter(run.heads_of[r]));
  }
}

}  // namespace toplens
