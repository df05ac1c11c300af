#include "results/geometry_part.h"

#include <cassert>

#include "results/geometry_dataset.h"

namespace toplens {

Dataset geometry_part(const GeometryOptions& options, const GeometryResults& results,
                      std::span<const std::string> documents) {
  assert(documents.size() == results.lanes());
  GeometryLabels labels;
  labels.documents.assign(documents.begin(), documents.end());
  labels.num_layers = static_cast<int>(results.layers());
  labels.num_heads = static_cast<int>(results.heads());
  for (const Ranking ranking : options.rankings) labels.rankings.emplace_back(name(ranking));
  for (const Distance distance : options.distances) labels.distances.emplace_back(name(distance));
  labels.set_sizes = options.set_sizes;
  Dataset dataset = make_geometry_dataset(labels);

  const std::vector<Separability>& means = results.means();
  const auto values_of = [&](double Separability::*metric) {
    std::vector<float> values;
    values.reserve(means.size());
    for (const Separability& mean : means) values.push_back(static_cast<float>(mean.*metric));
    return values;
  };
  for (const SeparabilityMetric& metric : kSeparabilityMetrics) {
    const std::vector<float> values = values_of(metric.value);
    if (dataset.has_variable(metric.name)) {
      const std::span<float> to = dataset.mutable_values<float>(metric.name);
      assert(to.size() == values.size());
      std::copy(values.begin(), values.end(), to.begin());
    } else {
      dataset.add_variable(std::string(metric.name),
                           {"document", "layer", "head", "ranking", "distance", "set_size"}, values,
                           describe("1", metric.long_name));
    }
  }
  std::vector<std::int32_t> num_queries;
  for (std::size_t lane = 0; lane < results.lanes(); ++lane) {
    for (std::size_t layer = 0; layer < results.layers(); ++layer) {
      for (std::size_t head = 0; head < results.heads(); ++head) {
        for (std::size_t ranking = 0; ranking < results.rankings(); ++ranking) {
          for (std::size_t size = 0; size < results.set_sizes(); ++size) {
            num_queries.push_back(results.num_queries(lane, layer, head, ranking, size));
          }
        }
      }
    }
  }
  dataset.add_variable("num_queries", {"document", "layer", "head", "ranking", "set_size"},
                       num_queries, describe("1", "number of queries in the document's means"));
  return dataset;
}

}  // namespace toplens
