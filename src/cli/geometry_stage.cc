#include "cli/geometry_stage.h"

#include <cmath>

#include "cli/run_estimate.h"
#include "geometry/geometry_observer.h"
#include "results/geometry_dataset.h"
#include "results/geometry_part.h"
#include "results/summary.h"

namespace toplens {
namespace {

/// The overall curves: means over heads and documents.
nlohmann::ordered_json curves(const GeometryView& view) {
  nlohmann::ordered_json array = nlohmann::ordered_json::array();
  for (std::size_t r = 0; r < view.rankings.size(); ++r) {
    for (std::size_t d = 0; d < view.distances.size(); ++d) {
      for (std::size_t n = 0; n < view.set_sizes.size(); ++n) {
        nlohmann::ordered_json record;
        record["ranking"] = view.rankings[r];
        record["distance"] = view.distances[d];
        record["set_size"] = view.set_sizes[n];
        for (std::size_t metric = 0; metric < kGeometryMetrics.size(); ++metric) {
          double sum = 0;
          std::size_t count = 0;
          for (const double mean : mean_over_documents(view, metric, r, d, n)) {
            if (std::isnan(mean)) continue;
            sum += mean;
            ++count;
          }
          record[std::string(kGeometryMetrics[metric])] =
              count > 0 ? nlohmann::ordered_json(sum / static_cast<double>(count)) : nullptr;
        }
        array.push_back(std::move(record));
      }
    }
  }
  return array;
}

class GeometryPass : public StagePass {
 public:
  GeometryPass(const GeometryOptions& options, QuerySelection queries, PassDocuments documents)
      : labels_(documents.labels), observer_(options, queries, std::move(documents.numbers)) {}
  AttentionObserver& observer() override { return observer_; }
  void add_to(Dataset& part) override {
    part = geometry_part(observer_.options(), observer_.results(), labels_);
  }

 private:
  std::span<const std::string> labels_;
  GeometryObserver observer_;
};

class GeometryStage : public AnalysisStage {
 public:
  GeometryStage(const GeometryOptions& options, QuerySelection queries)
      : options_(options), queries_(queries) {}

  void describe(Protocol& protocol) const override {
    protocol.set_sizes = options_.set_sizes;
    for (const Ranking ranking : options_.rankings) protocol.rankings.emplace_back(name(ranking));
    for (const Distance distance : options_.distances) {
      protocol.distances.emplace_back(name(distance));
    }
    for (const auto& metric : kGeometryMetricNames) {
      if (metric.kind == GeometryMetric::inversions && !options_.with_inversions) continue;
      protocol.metrics.emplace_back(metric.name);
    }
    protocol.random_repeats = options_.random_repeats;
    protocol.random_at_all_queries = options_.random_at_all_queries;
    protocol.random_inversions = options_.with_inversions && options_.random_inversions;
    protocol.seed = options_.seed;
  }

  StageDemand demand(const ModelConfig& config, int length) const override {
    const std::uint64_t cells = static_cast<std::uint64_t>(config.num_layers) *
                                static_cast<std::uint64_t>(config.num_query_heads) *
                                options_.rankings.size() * options_.distances.size() *
                                options_.set_sizes.size();
    StageDemand demand;
    demand.queries = queries_;
    demand.bytes_per_document = cells * sizeof(float) * kSeparabilityMetrics.size();
    demand.result_bytes_per_document = demand.bytes_per_document;
    demand.bytes_per_worker = GeometryObserver(options_, queries_, {})
                                  .bytes_per_worker(length, config.head_dim,
                                                    config.num_query_heads / config.num_kv_heads);
    demand.seconds_per_document = estimate_geometry_seconds(config, options_, queries_, length);
    return demand;
  }

  std::unique_ptr<StagePass> begin(PassDocuments documents) const override {
    return std::make_unique<GeometryPass>(options_, queries_, std::move(documents));
  }

  void pool(PooledRun& run) const override {
    std::vector<std::string> names = {"num_queries"};
    for (const SeparabilityMetric& metric : kSeparabilityMetrics) names.emplace_back(metric.name);
    const Dataset geometry = without_unused_dimensions(run.parts.read(names));
    run.results.write_dataset("geometry.nc", geometry);
    run.files.emplace_back("geometry.nc", "xarray");
    const GeometryView view(geometry);
    BootstrapOptions bootstrap;
    bootstrap.seed = run.manifest.protocol.seed;
    add_geometry_columns(run.table, view, bootstrap, run.threads);
    run.summaries.push_back(geometry_summary(view));
    run.json["documents"] = view.documents.size();
    run.json["curves"] = curves(view);
  }

 private:
  GeometryOptions options_;
  QuerySelection queries_;
};

}  // namespace

std::unique_ptr<AnalysisStage> make_geometry_stage(const GeometryOptions& options,
                                                   QuerySelection queries) {
  return std::make_unique<GeometryStage>(options, queries);
}

}  // namespace toplens
