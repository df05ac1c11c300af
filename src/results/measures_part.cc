#include "results/measures_part.h"

#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

#include "measures/measure_table.h"

namespace toplens {
namespace {

constexpr const char* kMeasureVariable = "head_measure";
constexpr const char* kSizeVariable = "head_size_measure";
constexpr const char* kReasonVariable = "signature_reason";
constexpr const char* kDetectorVariable = "detector_score";

MeasureSetting parse_setting(const std::string& label) {
  MeasureSetting setting;
  const char* end = label.data() + label.size();
  const auto [colon, error] = std::from_chars(label.data(), end, setting.context_length);
  if (error != std::errc() || colon == end || *colon != ':' || setting.context_length < 1) {
    throw Error(fmt::format("measure setting '{}' is not LENGTH:QUERIES", label));
  }
  setting.queries.assign(colon + 1, end);
  return setting;
}

template <typename Table>
void expect_labels(const Dataset& dataset, std::string_view dimension, const Table& table) {
  const std::span<const std::string> labels = dataset.labels<std::string>(dimension);
  bool same = labels.size() == table.size();
  for (std::size_t i = 0; same && i < table.size(); ++i) same = labels[i] == table[i].name;
  if (!same) {
    throw Error(fmt::format("'{}' of the recorded heads are not those of this toplens", dimension));
  }
}

template <typename T>
std::span<const T> checked(const Dataset& dataset, std::string_view name, std::size_t expected) {
  const std::span<const T> values = dataset.values<T>(name);
  if (values.size() != expected) {
    throw Error(
        fmt::format("variable '{}' has {} elements, expected {}", name, values.size(), expected));
  }
  return values;
}

/// A signature that is there has all its numbers, and values that are not zero.
void expect_signatures(const MeasureView& view) {
  constexpr std::array kParts = {
      Measure::sink_mass,    Measure::final_mass,       Measure::log_effective_number,
      Measure::separability, Measure::head_output_norm, Measure::mean_value_norm};
  for (std::size_t cell = 0; cell < view.reasons.size(); ++cell) {
    if (static_cast<SignatureReason>(view.reasons[cell]) != SignatureReason::defined) continue;
    const std::span<const float> values = view.measures.subspan(cell * kNumMeasures, kNumMeasures);
    for (const Measure part : kParts) {
      const float value = values[index_of(part)];
      if (std::isfinite(value) && (part != Measure::mean_value_norm || value > 0.0f)) continue;
      throw Error(fmt::format("{} is {} where {} says that there is a signature",
                              kMeasures[index_of(part)].name, value, kReasonVariable));
    }
  }
}

template <typename Table>
std::vector<std::string> names_of(const Table& table) {
  std::vector<std::string> names;
  for (const auto& row : table) names.emplace_back(row.name);
  return names;
}

}  // namespace

void add_measure_records(Dataset& part, const MeasureRecords& records) {
  const MeasuredShape& shape = records.shape;
  std::vector<std::string> settings;
  for (const MeasureSetting& setting : shape.settings) settings.push_back(setting.label());
  part.add_coordinate("measure_setting", std::move(settings),
                      {{"long_name", "context length and queries of the measures"}});
  part.add_coordinate("measure", names_of(kMeasures), {{"long_name", "measure of a head"}});
  part.add_coordinate("detector", names_of(kDetectors),
                      {{"long_name", "detector on repeated random tokens"}});
  part.add_variable(kMeasureVariable, {"document", "measure_setting", "layer", "head", "measure"},
                    records.measures, describe("1", "signature and measures of the head"));
  part.add_variable(kReasonVariable, {"document", "measure_setting", "layer", "head"},
                    records.reasons, describe("1", "why there is no signature; 0: there is one"));
  part.add_variable(kDetectorVariable, {"document", "layer", "head", "detector"}, records.detectors,
                    describe("1", "attention on the detector's pattern over all attention"));
  if (shape.set_sizes.empty()) return;
  part.add_coordinate("measured_set_size",
                      std::vector<std::int32_t>(shape.set_sizes.begin(), shape.set_sizes.end()),
                      describe("tokens", "selected tokens N"));
  part.add_coordinate("size_measure", names_of(kSizeMeasures),
                      {{"long_name", "measure of a head at a set size"}});
  part.add_variable(
      kSizeVariable,
      {"document", "measure_setting", "layer", "head", "measured_set_size", "size_measure"},
      records.size_measures, describe("1", "what a selection by attention leaves out"));
}

std::vector<std::string> measure_record_names(bool with_set_sizes) {
  std::vector<std::string> names = {kMeasureVariable, kReasonVariable, kDetectorVariable};
  if (with_set_sizes) names.emplace_back(kSizeVariable);
  return names;
}

MeasureView measure_records(const Dataset& dataset) {
  expect_labels(dataset, "measure", kMeasures);
  expect_labels(dataset, "detector", kDetectors);
  MeasureView view;
  MeasuredShape& shape = view.shape;
  shape.documents = dataset.dimension_size("document");
  shape.layers = dataset.dimension_size("layer");
  shape.heads = dataset.dimension_size("head");
  for (const std::string& label : dataset.labels<std::string>("measure_setting")) {
    shape.settings.push_back(parse_setting(label));
  }
  view.measures = checked<float>(dataset, kMeasureVariable, shape.cells() * kNumMeasures);
  view.reasons = checked<std::int32_t>(dataset, kReasonVariable, shape.cells());
  for (const std::int32_t reason : view.reasons) {
    if (reason < 0 || static_cast<std::size_t>(reason) >= kSignatureReasons.size()) {
      throw Error(fmt::format("{} is {}: expected 0 to {}", kReasonVariable, reason,
                              kSignatureReasons.size() - 1));
    }
  }
  expect_signatures(view);
  view.detectors = checked<float>(dataset, kDetectorVariable,
                                  shape.documents * shape.layers * shape.heads * kNumDetectors);
  if (!dataset.has_variable(kSizeVariable)) return view;
  expect_labels(dataset, "size_measure", kSizeMeasures);
  const auto sizes = dataset.labels<std::int32_t>("measured_set_size");
  shape.set_sizes.assign(sizes.begin(), sizes.end());
  view.size_measures = checked<float>(dataset, kSizeVariable,
                                      shape.cells() * shape.set_sizes.size() * kNumSizeMeasures);
  return view;
}

}  // namespace toplens
