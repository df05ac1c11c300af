#include "results/theory_json.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "theory/assumption_observer.h"

namespace toplens {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json to_json(const HeadMean& mean) {
  Json json = {{"mean", mean.mean}};
  if (mean.interval) json["interval"] = {mean.interval->low, mean.interval->high};
  return json;
}

double mean_of(std::span<const CoverageCell> cells, const auto& get) {
  double sum = 0.0;
  std::size_t count = 0;
  for (const CoverageCell& cell : cells) {
    const double x = get(cell);
    if (std::isnan(x)) continue;
    sum += x;
    ++count;
  }
  return sum / static_cast<double>(count);
}

/// All metrics of some heads.
Json coverage_by_metric(std::span<const HeadTheory> heads, std::uint64_t seed) {
  Json json = Json::object();
  for (const auto& [metric, metric_name] : kMetricNames) {
    json[std::string(metric_name)] =
        to_json(summarize_coverage(coverage_cells(heads, metric), seed));
  }
  return json;
}

double median(std::vector<double> values) {
  std::erase_if(values, [](double value) { return std::isnan(value); });
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

Json assumptions_json(const AssumptionCounts& counts) {
  return {{"heads", counts.heads},
          {"stable_norms",
           {{"estimated", counts.norms_estimated},
            {"reasons", counts.norm_reasons},
            {"median_norm_spread", number(counts.norm_spread)},
            {"sinks_estimated", counts.sinks_estimated},
            {"sinks_compressed", counts.sinks_compressed},
            {"median_sink_norm_ratio", number(counts.sink_norm_ratio)},
            {"median_sink_mass", number(counts.sink_mass)}}},
          {"similarity_decay",
           {{"estimated", counts.similarity_estimated},
            {"decay_present", counts.decay_present},
            {"reasons", counts.decay_reasons},
            {"not_applicable_near_duplicates", counts.similarity_not_applicable},
            {"median_decay_length_tokens", number(counts.decay_length)},
            {"median_mean_cosine", number(counts.mean_cosine)},
            {"median_sink_similarity", number(counts.sink_similarity)}}},
          {"dimension",
           {{"head_dim", counts.head_dim},
            {"median_effective_rank", number(counts.effective_rank)},
            {"median_sigma", number(counts.sigma)},
            {"median_sigma_effective", number(counts.effective_sigma)}}},
          {"attention_profile",
           {{"estimated", counts.profile_estimated},
            {"reasons", counts.profile_reasons},
            {"recency_present", counts.recency_present},
            {"oscillation_present", counts.oscillation_present},
            {"median_r_squared", number(counts.profile_r_squared)}}}};
}

Json ranking_json(const PooledTheory& theory, std::size_t ranking, std::uint64_t seed) {
  const std::vector<HeadTheory>& heads = theory.run.heads_of[ranking];
  Json json = {{"ranking", name(theory.run.rankings[ranking])}};
  json["heads_predicted"] = std::count_if(heads.begin(), heads.end(),
                                          [](const HeadTheory& head) { return head.predicted; });
  json.update(coverage_json(heads, theory.shape.layout.set_sizes, seed));
  Json thirds = Json::array();
  for (const LayerRange& range : layer_thirds(theory.run.layers)) {
    const auto of_range = std::span(heads).subspan(range.first * theory.run.heads,
                                                   (range.end - range.first) * theory.run.heads);
    Json third = {{"first_layer", range.first}, {"last_layer", range.end - 1}};
    third.update(coverage_by_metric(of_range, seed));
    thirds.push_back(std::move(third));
  }
  json["by_layer_third"] = std::move(thirds);
  Json sinks = Json::array();
  for (const SinkCorrelations& row :
       sink_correlations(heads, sink_similarities(theory.run.fits), seed)) {
    sinks.push_back({{"set_size", row.set_size},
                     {"sink_selected", toplens::to_json(row.selected)},
                     {"sink_selected_partial_on_sink_mass", toplens::to_json(row.selected_partial)},
                     {"sink_unselected", toplens::to_json(row.unselected)},
                     {"all_heads", toplens::to_json(row.all)}});
  }
  json["sink_similarity_with_recall"] = std::move(sinks);
  Json best = Json::array();
  for (const auto& [set_size, count] : best_small_sizes(heads)) {
    best.push_back({{"set_size", set_size}, {"heads", count}});
  }
  json["largest_f_score_at"] = std::move(best);
  return json;
}

}  // namespace

std::string_view why_undefined(const RankCorrelation& correlation) {
  return correlation.observations < 3 ? "fewer than 3 heads" : "all equal";
}

Json to_json(const RankCorrelation& correlation) {
  Json json = {{"value", nullptr}, {"interval", nullptr}, {"heads", correlation.observations}};
  if (correlation.value) {
    json["value"] = *correlation.value;
  } else {
    json["reason"] = why_undefined(correlation);
  }
  if (correlation.interval) {
    json["interval"] = {correlation.interval->low, correlation.interval->high};
  }
  return json;
}

Json to_json(const CoverageSummary& s) {
  if (s.cells == 0) return {{"cells", 0}};
  return {{"cells", s.cells},
          {"coverage", to_json(s.coverage)},
          {"strict_coverage", to_json(s.strict_coverage)},
          {"width", to_json(s.width)},
          {"centre_error", to_json(s.centre_error)},
          {"baseline_error", to_json(s.baseline_error)}};
}

Json coverage_json(std::span<const HeadTheory> heads, std::span<const int> set_sizes,
                   std::uint64_t seed) {
  Json json;
  json["overall"] = coverage_by_metric(heads, seed);
  json["by_set_size"] = Json::array();
  for (const int set_size : set_sizes) {
    Json row = {{"set_size", set_size}};
    for (const auto& [metric, metric_name] : kMetricNames) {
      const std::vector<CoverageCell> cells = coverage_cells(heads, metric, set_size);
      const CoverageSummary summary = summarize_coverage(cells, seed);
      if (summary.cells == 0) continue;
      Json value = {{"measured", mean_of(cells, [](const auto& c) { return c.measured.mean; })},
                    {"lower", mean_of(cells, [](const auto& c) { return c.lower; })},
                    {"centre", mean_of(cells, [](const auto& c) { return c.centre; })},
                    {"upper", mean_of(cells, [](const auto& c) { return c.upper; })}};
      value.update(to_json(summary));
      row[std::string(metric_name)] = std::move(value);
    }
    if (row.size() > 1) json["by_set_size"].push_back(std::move(row));
  }
  const ConditionalCheck check = check_conditional(heads);
  json["conditional"] = {{"cells", check.cells},
                         {"chernoff_below_measured", check.below},
                         {"gaussian_precision_within_0.05", check.near}};
  const RegimeCorrelations regime = regime_correlations(heads, seed);
  json["half_size"] = {{"measured_with_predicted", to_json(regime.predicted)},
                       {"measured_with_critical", to_json(regime.critical)}};
  return json;
}

std::vector<LayerRange> layer_thirds(std::size_t layers) {
  std::vector<LayerRange> ranges;
  const std::size_t parts = std::min<std::size_t>(3, layers);
  for (std::size_t part = 0; part < parts; ++part) {
    ranges.push_back({part * layers / parts, (part + 1) * layers / parts});
  }
  return ranges;
}

AssumptionCounts count_assumptions(const RunTheory& run) {
  const std::vector<HeadFit>& fits = run.fits;
  AssumptionCounts counts;
  counts.heads = fits.size();
  std::vector<double> spreads, ratios, lengths, cosines, sinks, r_squared;
  const auto count = [](FitReason reason, std::size_t& estimated,
                        std::map<std::string, std::size_t>& reasons) {
    if (reason == FitReason::estimated) {
      ++estimated;
    } else {
      ++reasons[std::string(describe(reason))];
    }
  };
  std::map<std::string, std::size_t> ignored;
  for (const HeadFit& fit : fits) {
    const ValueFit& values = fit.values;
    count(values.norms.reason, counts.norms_estimated, counts.norm_reasons);
    count(values.norms.sink_reason, counts.sinks_estimated, ignored);
    counts.sinks_compressed += values.norms.sink_compressed ? 1 : 0;
    count(values.similarity.reason, counts.similarity_estimated, ignored);
    count(values.similarity.decay_reason, counts.decay_present, counts.decay_reasons);
    counts.similarity_not_applicable += fit.similarity_applicable() ? 0 : 1;
    count(fit.profile.reason, counts.profile_estimated, counts.profile_reasons);
    counts.recency_present += fit.profile.recency.present() ? 1 : 0;
    counts.oscillation_present += fit.profile.oscillation.present() ? 1 : 0;
    spreads.push_back(values.norms.spread);
    ratios.push_back(values.norms.sink_ratio);
    lengths.push_back(values.similarity.similarity.length);
    cosines.push_back(values.similarity.similarity.constant);
    sinks.push_back(values.sink_similarity.mean);
    r_squared.push_back(fit.profile.r_squared);
  }
  std::vector<double> sink_masses;
  for (const HeadTheory& head : run.heads_of.front()) {
    if (!head.sizes.empty()) sink_masses.push_back(head.sink_mass);
  }
  counts.sink_mass = median(sink_masses);
  counts.norm_spread = median(spreads);
  counts.sink_norm_ratio = median(ratios);
  counts.decay_length = median(lengths);
  counts.mean_cosine = median(cosines);
  counts.sink_similarity = median(sinks);
  counts.profile_r_squared = median(r_squared);
  std::vector<double> ranks, sigmas, effective_sigmas;
  for (const HeadFit& fit : fits) {
    const double rank = fit.values.effective_rank.mean;
    ranks.push_back(rank);
    if (fit.residuals.empty()) continue;
    for (const ResidualEstimate& size : fit.residuals.front().sizes) {
      sigmas.push_back(size.competitors.sigma);
      effective_sigmas.push_back(size.competitors.sigma *
                                 std::sqrt(rank / static_cast<double>(fit.head_dim)));
    }
  }
  counts.head_dim = fits.empty() ? 0 : fits.front().head_dim;
  counts.effective_rank = median(ranks);
  counts.sigma = median(sigmas);
  counts.effective_sigma = median(effective_sigmas);
  return counts;
}

std::vector<double> sink_similarities(std::span<const HeadFit> fits) {
  std::vector<double> similarities;
  for (const HeadFit& fit : fits) similarities.push_back(fit.values.sink_similarity.mean);
  return similarities;
}

Json theory_json(const PooledTheory& theory, const RunTheoryOptions& options) {
  Json json;
  json["documents"] = theory.shape.documents;
  json["options"] = {{"weights", name_in(kWeightSourceNames, options.head.weights)},
                     {"dimension", name_in(kEffectiveDimensionNames, options.dimension)},
                     {"residuals", name_in(kResidualSourceNames, options.residuals)},
                     {"draws", options.head.envelope.draws},
                     {"envelope_documents", options.head.envelope.documents},
                     {"profile_draws", options.head.profile_draws},
                     {"scalar_draws", options.head.scalar_draws},
                     {"eta", options.head.eta},
                     {"seed", options.seed},
                     {"sampled_unselected_per_document", AssumptionLayout::kSampledOthers},
                     {"effective_rank_documents", AssumptionOptions().effective_rank_documents}};
  json["assumptions"] = assumptions_json(count_assumptions(theory.run));
  json["rankings"] = Json::array();
  for (std::size_t r = 0; r < theory.run.rankings.size(); ++r) {
    if (!has_prediction(theory.run.rankings[r])) continue;
    json["rankings"].push_back(ranking_json(theory, r, options.seed));
  }
  return json;
}

}  // namespace toplens
