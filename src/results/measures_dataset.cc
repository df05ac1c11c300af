#include "results/measures_dataset.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace toplens {
namespace {

/// A figure with its interval, of every head.
struct EstimateRow {
  std::string name;
  std::string units;
  std::string long_name;
  std::string reason;  ///< variable that says why it is NaN
  std::function<MeanEstimate(const HeadSummary&)> value;
};

MeanEstimate exponential(const MeanEstimate& log) {
  return {std::exp(log.mean), std::exp(log.low), std::exp(log.high), log.documents};
}

MeanEstimate complement(const MeanEstimate& share) {
  return {1.0 - share.mean, 1.0 - share.high, 1.0 - share.low, share.documents};
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

struct TextRow {
  std::string_view name;
  std::string_view long_name;
  std::function<std::string(const HeadSummary&)> value;
};

bool any_nan(const HeadSummary& head, std::initializer_list<Measure> measures) {
  return std::any_of(measures.begin(), measures.end(),
                     [&](Measure measure) { return std::isnan(head[measure].mean); });
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

struct NumberRow {
  std::string_view name;
  std::string_view long_name;
  std::string_view reason;
  std::function<double(const HeadSummary&)> value;
};

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

std::string size_reason(const HeadSummary& head, std::size_t n) {
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

Attributes regime_attributes(std::string_view long_name) {
  Attributes attributes = describe("1", long_name);
  std::string values, meanings;
  for (const auto& row : kRegimeNames) {
    values += fmt::format("{}{}", values.empty() ? "" : " ", static_cast<int>(row.kind));
    meanings += fmt::format("{}{}", meanings.empty() ? "" : " ", row.name);
  }
  attributes["flag_values"] = values;
  attributes["flag_meanings"] = meanings;
  return attributes;
}

template <typename T, typename Value>
std::vector<T> of_heads(const std::vector<HeadSummary>& heads, const Value& value) {
  std::vector<T> values;
  values.reserve(heads.size());
  for (const HeadSummary& head : heads) values.push_back(static_cast<T>(value(head)));
  return values;
}

/// X, X_low, X_high, X_documents over any dimensions.
void add_estimates(Dataset& dataset, const std::vector<std::string>& dimensions,
                   const std::vector<MeanEstimate>& estimates, const std::string& name,
                   std::string_view units, std::string_view long_name, std::string_view reason) {
  const auto add = [&](std::string_view suffix, double MeanEstimate::*member, std::string_view of,
                       std::string_view why) {
    std::vector<double> values;
    for (const MeanEstimate& estimate : estimates) values.push_back(estimate.*member);
    Attributes attributes = describe(units, fmt::format("{}{}", of, long_name));
    attributes["reason"] = std::string(why);
    dataset.add_variable(name + std::string(suffix), dimensions, std::move(values),
                         std::move(attributes));
  };
  add("", &MeanEstimate::mean, "", reason);
  add("_low", &MeanEstimate::low,
      "lower end of the 95% interval over documents of: ", "interval_reason");
  add("_high", &MeanEstimate::high,
      "upper end of the 95% interval over documents of: ", "interval_reason");
  std::vector<std::int64_t> documents;
  for (const MeanEstimate& estimate : estimates) documents.push_back(estimate.documents);
  dataset.add_variable(name + "_documents", dimensions, std::move(documents),
                       describe("1", fmt::format("documents behind {}", name)));
}

}  // namespace

void add_measure_variables(Dataset& dataset, const std::vector<HeadSummary>& heads,
                           const MeasuredShape& shape) {
  const std::vector<std::string> by_head = {"layer", "head"};
  dataset.add_variable(
      "documents", by_head,
      std::vector<std::int64_t>(heads.size(), static_cast<std::int64_t>(shape.documents)),
      describe("1", "documents of the run"));
  dataset.add_variable("regime", by_head,
                       of_heads<std::int32_t>(heads,
                                              [](const HeadSummary& head) {
                                                return static_cast<int>(head.regime().label.regime);
                                              }),
                       regime_attributes("regime, theory.md 8"));
  dataset.add_variable(
      "self", by_head,
      of_heads<std::int32_t>(
          heads, [](const HeadSummary& head) { return head.regime().label.self ? 1 : 0; }),
      describe("1", "1: a Retriever whose query attends mostly itself"));
  dataset.add_variable("regime_documents", by_head,
                       of_heads<std::int64_t>(
                           heads, [](const HeadSummary& head) { return head.regime().documents; }),
                       describe("1", "documents with a signature, which decide about the regime"));
  for (const NumberRow& row : number_rows()) {
    Attributes attributes = describe("1", row.long_name);
    attributes["reason"] = std::string(row.reason);
    dataset.add_variable(std::string(row.name), by_head, of_heads<double>(heads, row.value),
                         std::move(attributes));
  }
  for (const TextRow& row : text_rows()) {
    dataset.add_variable(std::string(row.name), by_head, of_heads<std::string>(heads, row.value),
                         {{"long_name", std::string(row.long_name)}});
  }
  for (const EstimateRow& row : estimate_rows()) {
    add_estimates(dataset, by_head, of_heads<MeanEstimate>(heads, row.value), row.name, row.units,
                  row.long_name, row.reason);
  }

  std::vector<std::string> settings;
  for (const MeasureSetting& setting : shape.settings) settings.push_back(setting.label());
  dataset.add_coordinate("measure_setting", std::move(settings),
                         {{"long_name", "context length and queries"}});
  std::vector<std::int32_t> regimes;
  std::vector<double> stabilities;
  std::vector<std::string> reasons;
  for (const HeadSummary& head : heads) {
    for (const HeadRegime& regime : head.regimes) {
      regimes.push_back(static_cast<std::int32_t>(regime.label.regime));
      stabilities.push_back(regime.stability);
      reasons.emplace_back(!std::isnan(regime.stability) ? std::string_view()
                           : regime.documents == 1       ? std::string_view("one document")
                                                         : describe(regime.reason));
    }
  }
  const std::vector<std::string> by_setting = {"layer", "head", "measure_setting"};
  dataset.add_variable("regime_by_setting", by_setting, std::move(regimes),
                       regime_attributes("regime at every context length and query selection"));
  Attributes attributes = describe("1", "its bootstrap stability");
  attributes["reason"] = std::string("regime_by_setting_reason");
  dataset.add_variable("regime_stability_by_setting", by_setting, std::move(stabilities),
                       std::move(attributes));
  dataset.add_variable("regime_by_setting_reason", by_setting, std::move(reasons),
                       {{"long_name", "why that regime or its stability is not defined"}});

  if (shape.set_sizes.empty()) return;
  if (!dataset.has_dimension("set_size")) {
    dataset.add_coordinate(
        "set_size", std::vector<std::int32_t>(shape.set_sizes.begin(), shape.set_sizes.end()),
        describe("tokens", "selected tokens N"));
  }
  const std::vector<std::string> by_size = {"layer", "head", "set_size"};
  for (const SizeMeasureRow& row : kSizeMeasures) {
    std::vector<MeanEstimate> estimates;
    for (const HeadSummary& head : heads) {
      for (const auto& sizes : head.by_size) estimates.push_back(sizes[index_of(row.measure)]);
    }
    add_estimates(dataset, by_size, estimates, std::string(row.name), "1", row.long_name,
                  "selection_error_reason");
  }
  std::vector<std::string> size_reasons;
  for (const HeadSummary& head : heads) {
    for (std::size_t n = 0; n < head.by_size.size(); ++n) {
      size_reasons.push_back(size_reason(head, n));
    }
  }
  dataset.add_variable("selection_error_reason", by_size, std::move(size_reasons),
                       {{"long_name", "why selection errors are not defined"}});
}

void add_measure_columns(HeadTable& table, const std::vector<HeadSummary>& heads,
                         const MeasuredShape& shape) {
  table.add_column("regime", of_heads<std::string>(heads, [](const HeadSummary& head) {
                     return std::string(name(head.regime().label.regime));
                   }));
  table.add_column("self", of_heads<std::int32_t>(heads, [](const HeadSummary& head) {
                     return head.regime().label.self ? 1 : 0;
                   }));
  for (const NumberRow& row : number_rows()) {
    table.add_column(std::string(row.name), of_heads<double>(heads, row.value));
  }
  for (const TextRow& row : text_rows()) {
    if (row.name == "regime_name") continue;
    table.add_column(std::string(row.name), of_heads<std::string>(heads, row.value));
  }
  const auto add = [&](const std::string& name, const std::string& suffix, const auto& value) {
    const auto column = [&](double MeanEstimate::*member) {
      return of_heads<double>(heads, [&](const HeadSummary& head) { return value(head).*member; });
    };
    table.add_column(name + suffix, column(&MeanEstimate::mean));
    table.add_column(name + "_low" + suffix, column(&MeanEstimate::low));
    table.add_column(name + "_high" + suffix, column(&MeanEstimate::high));
    auto documents = of_heads<std::int64_t>(
        heads, [&](const HeadSummary& head) { return value(head).documents; });
    const auto all = static_cast<std::int64_t>(shape.documents);
    if (std::all_of(documents.begin(), documents.end(),
                    [&](std::int64_t count) { return count == all; })) {
      return;
    }
    table.add_column(name + "_documents" + suffix, std::move(documents));
  };
  for (const EstimateRow& row : estimate_rows()) add(row.name, "", row.value);
  for (std::size_t n = 0; n < shape.set_sizes.size(); ++n) {
    const std::string suffix = fmt::format("_{}", shape.set_sizes[n]);
    for (const SizeMeasureRow& row : kSizeMeasures) {
      add(std::string(row.name), suffix, [n, measure = row.measure](const HeadSummary& head) {
        return head.by_size[n][index_of(measure)];
      });
    }
    table.add_column("selection_error_reason" + suffix,
                     of_heads<std::string>(
                         heads, [n](const HeadSummary& head) { return size_reason(head, n); }));
  }
}

std::vector<NamedMeans> measure_means(const std::vector<HeadSummary>& heads) {
  std::vector<NamedMeans> means;
  for (const EstimateRow& row : estimate_rows()) {
    means.push_back({row.name, of_heads<double>(heads, [&](const HeadSummary& head) {
                       return row.value(head).mean;
                     })});
  }
  return means;
}

}  // namespace toplens
