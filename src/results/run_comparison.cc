#include "results/run_comparison.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <toplens/error.h>
#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "io/json_text.h"
#include "results/geometry_dataset.h"
#include "results/netcdf_file.h"
#include "results/regime_results.h"
#include "results/run_directory.h"

namespace toplens {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double number(const Json& json) { return json.is_number() ? json.get<double>() : kNan; }

template <typename T>
T whole_number(const Json& json) {
  if (json.is_number_integer()) {
    const auto value = json.get<std::int64_t>();
    if (value >= 0 && std::in_range<T>(value)) return static_cast<T>(value);
  }
  throw Error(fmt::format("{}, expected a whole number of at most {}", json.dump(),
                          std::numeric_limits<T>::max()));
}

Json read_regimes(const fs::path& directory) {
  const fs::path path = directory / "regimes.json";
  Json json = parse_json(read_text_file(path), path.string());
  if (!json.is_object() || !json.contains("schema_version") ||
      json["schema_version"] != kRegimesSchemaVersion) {
    throw Error(fmt::format("{}: has {}, this toplens reads schema_version {}", path.string(),
                            json.is_object() && json.contains("schema_version")
                                ? "schema_version " + json["schema_version"].dump()
                                : "no schema_version",
                            kRegimesSchemaVersion));
  }
  return json;
}

/// Means over all heads and documents.
std::vector<ComparedPoint> overall_curves(const GeometryView& geometry) {
  std::vector<ComparedPoint> points;
  const GeometryIndex& index = geometry.index;
  for (std::size_t r = 0; r < index.rankings; ++r) {
    for (std::size_t d = 0; d < index.distances; ++d) {
      for (std::size_t n = 0; n < index.set_sizes; ++n) {
        ComparedPoint point{
            "all", geometry.rankings[r], geometry.distances[d], geometry.set_sizes[n],
            0,     {kNan, kNan, kNan}};
        for (std::size_t metric = 0; metric < point.metrics.size(); ++metric) {
          double sum = 0.0;
          point.heads = 0;
          for (const double mean : mean_over_documents(geometry, metric, r, d, n)) {
            if (std::isnan(mean)) continue;
            sum += mean;
            ++point.heads;
          }
          point.metrics[metric] = sum / static_cast<double>(point.heads);
        }
        if (point.heads > 0) points.push_back(std::move(point));
      }
    }
  }
  return points;
}

void add_regime_curves(const Json& regimes, std::vector<ComparedPoint>& points) {
  for (const Json& json : regimes.at("curves")) {
    ComparedPoint point;
    point.regime = json.at("regime").get<std::string>();
    point.ranking = json.at("ranking").get<std::string>();
    point.distance = json.at("distance").get<std::string>();
    point.set_size = whole_number<int>(json.at("set_size"));
    point.heads = whole_number<std::int64_t>(json.at("heads"));
    for (std::size_t metric = 0; metric < point.metrics.size(); ++metric) {
      point.metrics[metric] = number(json.at(std::string(kGeometryMetrics[metric])).at("mean"));
    }
    points.push_back(std::move(point));
  }
}

}  // namespace

ComparedRun read_compared_run(const fs::path& directory) {
  if (!fs::is_directory(directory)) {
    throw Error(fmt::format("{}: is no run directory: no such directory", directory.string()));
  }
  if (!fs::exists(directory / "run.json")) {
    throw Error(fmt::format("{}: is no run directory: it holds no run.json", directory.string()));
  }
  const Json manifest = read_run_json(directory);
  if (manifest.at("status") != "complete") {
    throw Error(fmt::format("{}: the run is not complete; finish it with analyze --resume",
                            directory.string()));
  }
  if (!fs::exists(directory / "regimes.json") || !fs::exists(directory / "heads.nc")) {
    throw Error(fmt::format("{}: the run has no regimes (analyze --measures on writes them)",
                            directory.string()));
  }
  ComparedRun run;
  run.path = directory;
  try {
    run.model = manifest.at("model").at("path").get<std::string>();
    run.text = manifest.at("text").at("path").get<std::string>();
    run.context_length = whole_number<int>(manifest.at("text").at("context_length"));
    run.queries = manifest.at("settings").at("protocol").at("queries").get<std::string>();
    const Json regimes = read_regimes(directory);
    run.documents = whole_number<std::uint32_t>(regimes.at("documents"));
    run.mean_stability = number(regimes.at("all_layers").at("mean_stability"));
    const Dataset heads = read_netcdf(directory / "heads.nc", {"regime"});
    run.layers = heads.dimension_size("layer");
    run.heads = heads.dimension_size("head");
    for (const std::int32_t regime : heads.values<std::int32_t>("regime", {"layer", "head"})) {
      if (regime < 0 || static_cast<std::size_t>(regime) >= kNumRegimes) {
        throw Error(fmt::format("{}: regime {} is none of this toplens",
                                (directory / "heads.nc").string(), regime));
      }
      run.regimes.push_back(static_cast<Regime>(regime));
    }
    const Dataset geometry = read_netcdf(directory / "geometry.nc");
    run.curves = overall_curves(GeometryView(geometry));
    add_regime_curves(regimes, run.curves);
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("{}: run.json or regimes.json is not as toplens writes it: {}",
                            directory.string(), error.what()));
  }
  return run;
}

std::vector<LabelAgreement> label_agreements(const std::vector<ComparedRun>& runs) {
  std::vector<LabelAgreement> agreements;
  for (std::size_t a = 0; a < runs.size(); ++a) {
    for (std::size_t b = a + 1; b < runs.size(); ++b) {
      LabelAgreement agreement{a, b, 0, 0};
      const bool correspond = runs[a].layers == runs[b].layers && runs[a].heads == runs[b].heads;
      for (std::size_t row = 0; correspond && row < runs[a].regimes.size(); ++row) {
        const Regime first = runs[a].regimes[row], second = runs[b].regimes[row];
        if (first == Regime::undefined || second == Regime::undefined) continue;
        ++agreement.heads;
        agreement.same += first == second ? 1 : 0;
      }
      agreements.push_back(agreement);
    }
  }
  return agreements;
}

}  // namespace toplens
