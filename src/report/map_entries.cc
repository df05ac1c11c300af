#include "report/map_entries.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "report/words.h"

namespace toplens {
namespace {

/// A variable of heads.nc that the map shows. This table is where their names are known.
struct HeadQuantity {
  std::string_view variable;
  std::string_view group;
  std::string_view label;
  MapScale scale = MapScale::sequential;
};

constexpr std::array<HeadQuantity, 21> kHeadQuantities = {{
    {"regime_name", "Regime", "Regime", MapScale::categorical},
    {"sink_mass", "Signature", "Sink mass"},
    {"selectivity", "Signature", "Selectivity"},
    {"effective_number", "Signature", "Effective number of tokens"},
    {"output_ratio", "Signature", "Output ratio"},
    {"attention_distance", "Signature", "Attention distance"},
    {"separability", "Signature", "Separability without the sink"},
    {"entropy", "Others' measures", "Entropy (nats)"},
    {"previous_token_score", "Others' measures", "Previous-token score"},
    {"induction_score", "Others' measures", "Induction score"},
    {"sink_similarity", "Assumptions", "Sink similarity", MapScale::diverging},
    {"sink_norm_ratio", "Assumptions", "Norm of the sink over c"},
    {"norm_spread", "Assumptions", "Spread of the norms"},
    {"similarity_constant", "Assumptions", "Far similarity b", MapScale::diverging},
    {"effective_rank", "Assumptions", "Effective rank of the values"},
    {"similarity_mae", "Assumptions", "Fit error, similarity (MAE)"},
    {"profile_mae", "Assumptions", "Fit error, attention profile (MAE, nats)"},
    {"critical_size", "Theory", "N_crit (tokens)"},
    {"measured_half_size", "Theory", "Measured N at which F < 0.5"},
    {"coverage_f_score", "Theory", "Coverage of the envelope (F)"},
    {"centre_error_f_score", "Theory", "Error of the predicted F"},
}};

std::string best_text(const ReportRun& run, const std::vector<double>& values) {
  std::size_t best = values.size(), defined = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) continue;
    ++defined;
    if (best == values.size() || values[i] > values[best]) best = i;
  }
  if (defined == 0) return "defined for no head";
  std::string text = fmt::format("median {} over {}, highest in head {} ({})",
                                 number_text(median_of(values)), count_text(defined, "head"),
                                 run.results.head_name(best), number_text(values[best]));
  if (defined < values.size()) {
    text += fmt::format("; not defined for {}", values.size() - defined);
  }
  return text;
}

std::string regime_counts(const std::vector<std::string>& labels) {
  std::vector<std::string> parts;
  for (const std::string_view regime : regime_names()) {
    const auto count = static_cast<std::size_t>(std::count(labels.begin(), labels.end(), regime));
    if (count == 0) continue;
    const bool is_noun = regime == "Retriever" || regime == "Mixer" || regime == "Reset";
    parts.push_back(is_noun ? count_text(count, regime)
                            : fmt::format("{} {}", count,
                                          regime == "Undefined" ? "undefined" : "unclassified"));
  }
  return list_text(parts);
}

void add_measured(std::vector<MapEntry>& entries, const ReportRun& run) {
  if (!run.curves) return;
  const HeadCurves& curves = *run.curves;
  for (const std::size_t m : {kFScoreMetric, std::size_t{0}, kRecallMetric}) {
    for (std::size_t size = 0; size < curves.sizes(); ++size) {
      MapEntry entry;
      entry.quantity = kCurveMetrics[m].name;
      entry.group = "Measured";
      entry.label = fmt::format("{} at N", m == kFScoreMetric ? "F" : m == 0 ? "P" : "R");
      entry.size = size;
      for (std::size_t head = 0; head < run.results.num_heads(); ++head) {
        entry.values.push_back(curves.metrics[m].measured.mean[head * curves.sizes() + size]);
      }
      entry.finding = fmt::format("{} at N = {}: {}",
                                  m == kFScoreMetric ? "F"
                                  : m == 0           ? "P"
                                                     : "R",
                                  curves.set_sizes[size], best_text(run, entry.values));
      entries.push_back(std::move(entry));
    }
  }
}

/// One entry for each scan of the heads: ranking/rule/set size/context length.
void add_scans(std::vector<MapEntry>& entries, const ReportRun& run) {
  if (!run.results.interventions) return;
  const Dataset& dataset = *run.results.interventions;
  const std::size_t heads = run.results.num_heads();
  if (!dataset.has_variable("scan_relative_change") || !dataset.has_dimension("head_index")) return;
  const auto labels = dataset.labels<std::string>("scan");
  const auto changes = dataset.values<double>("scan_relative_change");
  if (labels.size() > changes.size() || changes.size() != labels.size() * heads) return;
  for (std::size_t scan = 0; scan < labels.size(); ++scan) {
    MapEntry entry;
    entry.quantity = labels.size() == 1 ? "nll_increase" : "nll_increase " + labels[scan];
    entry.group = "Interventions";
    entry.label = fmt::format("NLL increase, this head cut ({})", labels[scan]);
    entry.scale = MapScale::diverging;
    const std::span<const double> values = changes.subspan(scan * heads, heads);
    entry.values.assign(values.begin(), values.end());
    entry.finding = fmt::format("Relative NLL increase where this head alone is cut ({}): {}",
                                labels[scan], best_text(run, entry.values));
    entries.push_back(std::move(entry));
  }
}

}  // namespace

std::vector<MapEntry> map_entries(const ReportRun& run) {
  std::vector<MapEntry> entries;
  add_measured(entries, run);
  for (const HeadQuantity& row : kHeadQuantities) {
    MapEntry entry;
    entry.quantity = row.variable;
    entry.group = row.group;
    entry.label = row.label;
    entry.scale = row.scale;
    if (row.scale == MapScale::categorical) {
      const auto labels = head_regimes(run.results);
      if (!labels) continue;
      entry.labels = *labels;
      entry.finding = fmt::format("Regimes: {}", regime_counts(entry.labels));
    } else {
      const auto values = head_numbers(run.results, row.variable);
      if (!values) continue;
      entry.values = *values;
      entry.finding = fmt::format("{}: {}", row.label, best_text(run, entry.values));
    }
    entries.push_back(std::move(entry));
  }
  add_scans(entries, run);
  return entries;
}

std::vector<std::string> absent_quantities(const ReportRun& run) {
  std::vector<std::string> absent;
  for (const HeadQuantity& row : kHeadQuantities) {
    const bool there = row.scale == MapScale::categorical
                           ? head_regimes(run.results).has_value()
                           : head_numbers(run.results, row.variable).has_value();
    if (!there) absent.emplace_back(row.label);
  }
  if (!run.results.interventions ||
      !run.results.interventions->has_variable("scan_relative_change")) {
    absent.emplace_back("NLL increase when scanned (interventions.nc of intervene --scan heads)");
  }
  return absent;
}

}  // namespace toplens
