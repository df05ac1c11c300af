#include "results/measure_rows.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

namespace toplens {
namespace {

MeanEstimate exponential(const MeanEstimate& log) {
  return {std::exp(log.mean), std::exp(log.low), std::exp(log.high), log.documents};
}

MeanEstimate complement(const MeanEstimate& share) {
  // Weights that sum to a little more than 1 leave nothing, not less; NaN stays NaN.
  const auto rest = [](double value) { return std::max(1.0 - value, 0.0); };
  return {rest(share.mean), rest(share.high), rest(share.low), share.documents};
}

std::string reason_variable(MeasureGroup group) {
  switch (group) {
    case MeasureGroup::signature:
      return "regime_reason";
    case MeasureGroup::sink:
      return "sink_reason";
    case MeasureGroup::rank:
      return "rank_reason";
    case MeasureGroup::query:
      break;
  }
  return "measure_reason";
}

bool any_nan(const HeadSummary& head, std::initializer_list<Measure> measures) {
  return std::any_of(measures.begin(), measures.end(),
                     [&](Measure measure) { return std::isnan(head[measure].mean); });
}

}  // namespace

const std::vector<EstimateRow>& estimate_rows() {
  static const std::vector<EstimateRow> kRows = [] {
    std::vector<EstimateRow> rows;
    for (const MeasureRow& row : kMeasures) {
      const auto value = [measure = row.measure](const HeadSummary& head) { return head[measure]; };
      if (row.measure == Measure::log_effective_number) {
        rows.push_back({"effective_number", "tokens",
                        "n_eff = 1 / sum of squared non-sink weights, renormalised; geometric mean",
                        reason_variable(row.group),
                        [value](const HeadSummary& head) { return exponential(value(head)); }});
        continue;
      }
      rows.push_back({std::string(row.name), std::string(row.units), std::string(row.long_name),
                      reason_variable(row.group), value});
      if (row.measure == Measure::streaming_mass) {
        rows.push_back({"non_streaming_mass", "1",
                        "attention on what lies between the first 4 and the last 64 tokens",
                        reason_variable(row.group),
                        [value](const HeadSummary& head) { return complement(value(head)); }});
      }
    }
    rows.push_back({"output_ratio", "1",
                    "norm of the head output over c, the mean norm of the values without token 0",
                    "measure_reason", [](const HeadSummary& head) { return head.output_ratio; }});
    for (const DetectorRow& row : kDetectors) {
      rows.push_back({std::string(row.name), "1", std::string(row.long_name), "detector_reason",
                      [detector = row.detector](const HeadSummary& head) {
                        return head.detectors[index_of(detector)];
                      }});
    }
    return rows;
  }();
  return kRows;
}

const std::vector<TextRow>& text_rows() {
  using H = HeadSummary;
  static const std::vector<TextRow> kRows = {
      {"regime_name", "regime in words",
       [](const H& h) { return std::string(name(h.regime().label.regime)); }},
      {"regime_reason", "why the head has no signature; empty where it has one",
       [](const H& h) { return std::string(describe(h.regime().reason)); }},
      {"regime_stability_reason", "why stability is not defined",
       [](const H& h) -> std::string {
         if (!std::isnan(h.regime().stability)) return "";
         return h.regime().documents == 1 ? "one document" : "undefined regime";
       }},
      {"sink_reason", "why figures of the sink are not defined",
       [](const H& h) -> std::string {
         if (std::isnan(h[Measure::sink_attention].mean)) return "no sink visible";
         return any_nan(h, {Measure::sink_similarity, Measure::first_value_norm_ratio,
                            Measure::sink_aggregate_similarity})
                    ? "too few tokens, or a value or aggregate of norm zero"
                    : "";
       }},
      {"measure_reason", "why other figures of the head are not defined",
       [](const H& h) -> std::string {
         if (any_nan(h, {Measure::small_n_f_score, Measure::relative_entropy})) {
           return "too few visible tokens";
         }
         return std::isnan(h.output_ratio.mean) ? "values are zero" : "";
       }},
      {"rank_reason", "why an effective rank is not defined",
       [](const H& h) -> std::string {
         return any_nan(h, {Measure::value_effective_rank, Measure::output_effective_rank})
                    ? "the matrix is zero"
                    : "";
       }},
      {"detector_reason", "why detector scores are not defined",
       [](const H& h) -> std::string {
         return h.detectors[0].documents == 0 ? "not measured" : "";
       }},
      {"interval_reason", "why a figure has no interval",
       [](const H& h) -> std::string {
         std::vector<MeanEstimate> all(h.measures.begin(), h.measures.end());
         all.insert(all.end(), h.detectors.begin(), h.detectors.end());
         for (const auto& sizes : h.by_size) all.insert(all.end(), sizes.begin(), sizes.end());
         const auto has = [&](std::int64_t documents) {
           return std::any_of(all.begin(), all.end(), [&](const MeanEstimate& estimate) {
             return estimate.documents == documents;
           });
         };
         if (has(1)) return "one document";
         return has(0) ? "where the figure itself is not defined" : "";
       }},
  };
  return kRows;
}

const std::vector<NumberRow>& number_rows() {
  using H = HeadSummary;
  static const std::vector<NumberRow> kRows = {
      {"regime_margin", "distance to the nearest threshold, in the slacks of theory.md 8",
       "regime_reason", [](const H& h) { return h.regime().label.margin; }},
      {"regime_stability", "share of bootstrap resamples of the documents with the same regime",
       "regime_stability_reason", [](const H& h) { return h.regime().stability; }},
  };
  return kRows;
}

std::string selection_error_reason(const HeadSummary& head, std::size_t n) {
  const auto& sizes = head.by_size[n];
  if (sizes[index_of(SizeMeasure::dropped_coherence)].documents == 0 &&
      sizes[index_of(SizeMeasure::deletion_error)].documents == 0) {
    return head[Measure::head_output_norm].mean > 0.0 ? "set size not below the visible tokens"
                                                      : "zero head output";
  }
  if (sizes[index_of(SizeMeasure::deletion_error)].documents == 0) return "zero head output";
  if (sizes[index_of(SizeMeasure::dropped_coherence)].documents == 0) {
    return "dropped contributions are zero";
  }
  return "";
}

}  // namespace toplens
