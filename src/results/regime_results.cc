#include "results/regime_results.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

namespace toplens {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostLayerRows = 40;
constexpr std::size_t kTextColumns = 100;

/// The order of tables: the three that GATS names first.
constexpr std::array<Regime, kNumRegimes> kTableOrder = {
    Regime::retriever, Regime::mixer, Regime::reset, Regime::unclassified, Regime::undefined};

/// Heads of each regime within rows [begin, end), and the stability of those that have one.
struct RegimeCounts {
  std::array<std::int64_t, kNumRegimes> heads{};
  std::int64_t self = 0;
  std::int64_t total = 0;
  double stability = 0.0;
  std::int64_t stable_heads = 0;

  std::int64_t of(Regime regime) const { return heads[static_cast<std::size_t>(regime)]; }
  double mean_stability() const {
    return stability / static_cast<double>(stable_heads);  // NaN where there is none
  }
};

RegimeCounts count(const std::vector<HeadSummary>& heads, std::size_t begin, std::size_t end,
                   std::size_t setting) {
  RegimeCounts counts;
  for (std::size_t row = begin; row < end; ++row) {
    const HeadRegime& regime = heads[row].regimes[setting];
    ++counts.heads[static_cast<std::size_t>(regime.label.regime)];
    counts.self += regime.label.self ? 1 : 0;
    ++counts.total;
    if (std::isnan(regime.stability)) continue;
    counts.stability += regime.stability;
    ++counts.stable_heads;
  }
  return counts;
}

Json number(double value) { return std::isnan(value) ? Json(nullptr) : Json(value); }

Json counts_json(const RegimeCounts& counts) {
  Json json = {{"heads", counts.total}};
  for (const Regime regime : kTableOrder) json[std::string(name(regime))] = counts.of(regime);
  json["self"] = counts.self;
  json["mean_stability"] = number(counts.mean_stability());
  return json;
}

Json estimate_json(const MeanEstimate& estimate) {
  return {{"mean", number(estimate.mean)},
          {"low", number(estimate.low)},
          {"high", number(estimate.high)},
          {"documents", estimate.documents}};
}

Json mixture_json(const MixtureCheck& mixture) {
  Json bic = Json::array();
  for (const auto& value : mixture.fit.bic) bic.push_back(value ? Json(*value) : Json(nullptr));
  Json json = {{"heads", mixture.heads},
               {"features", mixture.features},
               {"bic_by_components", std::move(bic)},
               {"components", mixture.fit.components},
               {"adjusted_rand_index",
                mixture.adjusted_rand_index ? Json(*mixture.adjusted_rand_index) : Json(nullptr)},
               {"reason", mixture.reason}};
  return json;
}

Json curves_json(const std::vector<RegimeCurvePoint>& points) {
  Json curves = Json::array();
  for (const RegimeCurvePoint& point : points) {
    Json json = {{"regime", name(point.regime)},
                 {"heads", point.heads},
                 {"ranking", point.ranking},
                 {"distance", point.distance},
                 {"set_size", point.set_size}};
    for (std::size_t metric = 0; metric < point.metrics.size(); ++metric) {
      json[std::string(kGeometryMetrics[metric])] = estimate_json(point.metrics[metric]);
    }
    curves.push_back(std::move(json));
  }
  return curves;
}

Json coverage_json(const std::vector<RegimeCoverage>& coverages) {
  Json json = Json::array();
  for (const RegimeCoverage& coverage : coverages) {
    Json entry = {{"regime", name(coverage.regime)},
                  {"ranking", coverage.ranking},
                  {"heads", coverage.heads}};
    for (std::size_t metric = 0; metric < coverage.coverage.size(); ++metric) {
      entry[std::string(kGeometryMetrics[metric])] = {
          {"coverage", number(coverage.coverage[metric])},
          {"centre_error", number(coverage.centre_error[metric])}};
    }
    json.push_back(std::move(entry));
  }
  return json;
}

Json setting_json(const MeasureSetting& setting) {
  return {{"context_length", setting.context_length}, {"queries", setting.queries}};
}

Json settings_json(const RegimeResults& results) {
  Json settings = Json::array();
  for (std::size_t s = 0; s < results.shape.settings.size(); ++s) {
    Json json = setting_json(results.shape.settings[s]);
    json.update(counts_json(count(results.heads, 0, results.heads.size(), s)));
    settings.push_back(std::move(json));
  }
  Json agreement = Json::array();
  for (const SettingAgreement& pair : compare_settings(results.heads)) {
    Json json = {{"first", setting_json(results.shape.settings[pair.first])},
                 {"second", setting_json(results.shape.settings[pair.second])},
                 {"heads", pair.heads},
                 {"same_label", pair.same}};
    json["share"] = pair.heads > 0
                        ? Json(static_cast<double>(pair.same) / static_cast<double>(pair.heads))
                        : Json(nullptr);
    agreement.push_back(std::move(json));
  }
  return {{"settings", std::move(settings)}, {"agreement", std::move(agreement)}};
}

std::string line_of(const std::string& label, const RegimeCounts& counts) {
  std::string line = fmt::format("{:>7}", label);
  for (const Regime regime : kTableOrder) {
    line +=
        fmt::format("{:>14}", counts.of(regime) == 0 ? "." : fmt::format("{}", counts.of(regime)));
    if (regime == Regime::retriever) {
      line += fmt::format("{:>8}", counts.self == 0 ? "." : fmt::format("{}", counts.self));
    }
  }
  const double stability = counts.mean_stability();
  return line +
         fmt::format("{:>11}\n", std::isnan(stability) ? "-" : fmt::format("{:.2f}", stability));
}

std::string layers_table(const RegimeResults& results) {
  std::string text = fmt::format("{:>7}", "layer");
  for (const Regime regime : kTableOrder) {
    text += fmt::format("{:>14}", name(regime));
    if (regime == Regime::retriever) text += fmt::format("{:>8}", "(self)");
  }
  text += fmt::format("{:>11}\n", "stability");
  const std::size_t layers = results.shape.layers, heads = results.shape.heads;
  const std::size_t step = (layers + kMostLayerRows - 1) / kMostLayerRows;
  for (std::size_t first = 0; first < layers; first += step) {
    const std::size_t end = std::min(first + step, layers);
    text += line_of(step == 1 ? fmt::format("{}", first) : fmt::format("{}-{}", first, end - 1),
                    count(results.heads, first * heads, end * heads, 0));
  }
  return text + line_of("all", count(results.heads, 0, results.heads.size(), 0));
}

std::string mixture_text(const MixtureCheck& mixture) {
  if (!mixture.reason.empty() || !mixture.adjusted_rand_index) {
    return fmt::format("Mixture check: {} ({} heads).\n", mixture.reason, mixture.heads);
  }
  std::string text = fmt::format(
      "Without the rule, a Gaussian mixture on the signatures of {} heads finds {} group{} (BIC); "
      "adjusted\nRand index with the regimes {:.2f}.",
      mixture.heads, mixture.fit.components, mixture.fit.components == 1 ? "" : "s",
      *mixture.adjusted_rand_index);
  if (mixture.heads < 3 * MixtureOptions().least_points) {
    text += " They are too few to find three.";
  } else if (mixture.fit.components != 3) {
    text += " It does not find the three groups that the names suggest.";
  }
  return text + "\n";
}

std::string settings_text(const RegimeResults& results) {
  if (results.shape.settings.size() < 2) return "";
  std::string text =
      "\nSame label as in the table above\n\n  context   queries       heads    same\n";
  for (const SettingAgreement& pair : compare_settings(results.heads)) {
    if (pair.first != 0) continue;
    const MeasureSetting& setting = results.shape.settings[pair.second];
    const std::string share = pair.heads > 0
                                  ? fmt::format("{:.0f} %", 100.0 * static_cast<double>(pair.same) /
                                                                static_cast<double>(pair.heads))
                                  : "-";
    text += fmt::format("{:>9}   {:<10}{:>9}{:>8}\n", setting.context_length, setting.queries,
                        pair.heads, share);
  }
  return text;
}

}  // namespace

Json regimes_json(const RegimeResults& results) {
  const MeasuredShape& shape = results.shape;
  Json thresholds = Json::object();
  for (const RegimeThresholdRow& row : kRegimeThresholds) {
    thresholds[std::string(row.name)] = results.thresholds.*row.value;
  }
  Json layers = Json::array();
  for (std::size_t layer = 0; layer < shape.layers; ++layer) {
    Json json = {{"layer", layer}};
    json.update(
        counts_json(count(results.heads, layer * shape.heads, (layer + 1) * shape.heads, 0)));
    layers.push_back(std::move(json));
  }
  Json json;
  json["schema_version"] = kRegimesSchemaVersion;
  json["documents"] = shape.documents;
  json["setting"] = setting_json(shape.settings.front());
  json["thresholds"] = std::move(thresholds);
  json["all_layers"] = counts_json(count(results.heads, 0, results.heads.size(), 0));
  json["layers"] = std::move(layers);
  json["stability_reason"] = shape.documents < 2 ? "one document: stability is not defined" : "";
  json["mixture"] = mixture_json(results.mixture);
  json["label_stability"] = settings_json(results);
  json["curves"] = curves_json(results.curves);
  json["coverage"] = coverage_json(results.coverage);
  json["imported_scores"] = imported_json(results.imported);
  json["detectors"] = {{"sequences", results.detector_sequences},
                       {"repeated_tokens", results.detector_tokens}};
  return json;
}

std::string regimes_summary(const RegimeResults& results) {
  const MeasureSetting& setting = results.shape.settings.front();
  std::string text =
      fmt::format("What each head does: heads by regime, {}\n\n{}\n",
                  setting.queries == "last" ? "final query" : "queries " + setting.queries,
                  layers_table(results));
  std::string line = "Thresholds:";
  for (const RegimeThresholdRow& row : kRegimeThresholds) {
    const std::string item = fmt::format(" {} {:g}{}", row.name, results.thresholds.*row.value,
                                         &row == &kRegimeThresholds.back() ? "." : ",");
    if (line.size() + item.size() > kTextColumns) {
      text += line + "\n";
      line = " ";
    }
    line += item;
  }
  text += line + "\n";
  if (results.shape.documents < 2)
    text += "One document: the stability of labels is not defined.\n";
  return text + mixture_text(results.mixture) + settings_text(results) +
         imported_text(results.imported);
}

}  // namespace toplens
