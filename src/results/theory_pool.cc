#include "results/theory_pool.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "results/geometry_dataset.h"
#include "results/theory_part.h"

namespace toplens {
namespace {

constexpr std::string_view kFinalPrefix = "final_";
const std::vector<std::string> kFinalDimensions = {"document", "layer", "head", "recorded_ranking",
                                                   "recorded_set_size"};

std::string final_name(std::string_view metric) {
  return fmt::format("{}{}", kFinalPrefix, metric);
}

std::size_t index_of(std::span<const std::string> labels, std::string_view label) {
  const auto found = std::find(labels.begin(), labels.end(), label);
  if (found == labels.end()) throw Error(fmt::format("the parts have no '{}'", label));
  return static_cast<std::size_t>(found - labels.begin());
}

/// Where a recorded (ranking, set size) lies among geometry's own.
struct GeometryPlaces {
  std::vector<std::size_t> rankings, sizes;
  std::size_t distance = 0;

  GeometryPlaces(const GeometryView& geometry, const AssumptionLayout& layout) {
    for (const Ranking ranking : layout.rankings) {
      rankings.push_back(index_of(geometry.rankings, name(ranking)));
    }
    for (const int size : layout.set_sizes) {
      const auto found = std::find(geometry.set_sizes.begin(), geometry.set_sizes.end(), size);
      if (found == geometry.set_sizes.end()) {
        throw Error(fmt::format("the parts have records at N = {} but no geometry", size));
      }
      sizes.push_back(static_cast<std::size_t>(found - geometry.set_sizes.begin()));
    }
    distance = index_of(geometry.distances, "euclidean");
  }
};

/// Metrics by element; inversions may be absent from a run.
using MetricValues = std::array<std::span<const float>, kGeometryMetrics.size()>;

Separability separability_at(const MetricValues& values, std::size_t cell) {
  Separability result = zero_separability();
  result.precision = values[0][cell];
  result.recall = values[1][cell];
  result.f_score = values[2][cell];
  result.margin = values[3][cell];
  result.inversions = values[4][cell];
  return result;
}

std::vector<std::string> geometry_names(bool final_query) {
  std::vector<std::string> names;
  for (const std::string_view metric : kGeometryMetrics) {
    names.push_back(final_query ? final_name(metric) : std::string(metric));
  }
  return names;
}

RunTheory evaluate(const Dataset& records, bool final_query, const RunTheoryOptions& options,
                   ThreadPool& pool) {
  const AssumptionView view = theory_records(records);
  if (final_query) {
    MetricValues values;
    for (std::size_t m = 0; m < values.size(); ++m) {
      values[m] = records.values<float>(final_name(kGeometryMetrics[m]), kFinalDimensions);
    }
    const RecordedShape& shape = view.shape;
    const std::size_t rankings = shape.layout.rankings.size();
    const std::size_t sizes = shape.layout.set_sizes.size();
    const auto measured = [&](std::size_t document, std::size_t layer, std::size_t head,
                              std::size_t ranking, std::size_t n) {
      const std::size_t row = (document * shape.layers + layer) * shape.heads + head;
      return separability_at(values, (row * rankings + ranking) * sizes + n);
    };
    return evaluate_layers(view, measured, options, pool);
  }
  const GeometryView geometry(records);
  const GeometryPlaces places(geometry, view.shape.layout);
  const auto measured = [&](std::size_t document, std::size_t layer, std::size_t head,
                            std::size_t ranking, std::size_t n) {
    return separability_at(geometry.metrics,
                           geometry.index(document, layer, head, places.rankings[ranking],
                                          places.distance, places.sizes[n]));
  };
  return evaluate_layers(view, measured, options, pool);
}

}  // namespace

void add_final_query_geometry(Dataset& part, const Dataset& geometry) {
  const GeometryView view(geometry);
  const auto rankings = part.labels<std::string>("recorded_ranking");
  const auto sizes = part.labels<std::int32_t>("recorded_set_size");
  AssumptionLayout layout;
  for (const std::string& ranking : rankings) layout.rankings.push_back(parse_ranking(ranking));
  layout.set_sizes.assign(sizes.begin(), sizes.end());
  const GeometryPlaces places(view, layout);
  for (std::size_t m = 0; m < kGeometryMetrics.size(); ++m) {
    std::vector<float> values;
    for (std::size_t document = 0; document < view.index.documents; ++document) {
      for (std::size_t layer = 0; layer < view.index.layers; ++layer) {
        for (std::size_t head = 0; head < view.index.heads; ++head) {
          for (const std::size_t ranking : places.rankings) {
            for (const std::size_t size : places.sizes) {
              values.push_back(view.metrics[m][view.index(document, layer, head, ranking,
                                                          places.distance, size)]);
            }
          }
        }
      }
    }
    part.add_variable(final_name(kGeometryMetrics[m]), kFinalDimensions, std::move(values),
                      describe("1", "of the final query, Euclidean"));
  }
}

bool has_theory_records(const PartsReader& parts) {
  return parts.has_variable(theory_record_names().back());
}

PooledTheory pool_theory(const PartsReader& parts, const RunTheoryOptions& options,
                         ThreadPool& pool, const LayerVisitor& visit) {
  const bool final_query = parts.has_variable(final_name(kGeometryMetrics.front()));
  std::vector<std::string> names = theory_record_names();
  for (std::string& metric : geometry_names(final_query)) names.push_back(std::move(metric));
  PooledTheory pooled;
  const std::size_t layers = parts.dimension_size("layer");
  for (std::size_t layer = 0; layer < layers; ++layer) {
    const Dataset records = parts.read(names, DimensionSlice{"layer", layer, 1});
    RunTheory evaluated = evaluate(records, final_query, options, pool);
    if (visit) visit(theory_records(records), evaluated);
    append_layers(pooled.run, std::move(evaluated));
    if (layer == 0) pooled.shape = theory_records(records).shape;
  }
  pooled.shape.layers = layers;
  return pooled;
}

}  // namespace toplens
