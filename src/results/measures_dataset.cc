#include "results/measures_dataset.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "results/measure_rows.h"

namespace toplens {
namespace {

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
      size_reasons.push_back(selection_error_reason(head, n));
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
                     of_heads<std::string>(heads, [n](const HeadSummary& head) {
                       return selection_error_reason(head, n);
                     }));
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
