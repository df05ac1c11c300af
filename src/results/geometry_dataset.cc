#include "results/geometry_dataset.h"

#include <cmath>
#include <limits>
#include <numeric>

namespace toplens {
namespace {

const std::vector<std::string> kDimensions = {"document", "layer",    "head",
                                              "ranking",  "distance", "set_size"};

constexpr std::array<std::string_view, kGeometryMetrics.size()> kLongNames = {
    "precision P_N: selected share of the tokens within the selected radius",
    "recall R_N: share of selected tokens nearer than every other token",
    "F-score F_N: harmonic mean of precision and recall",
    "separation margin gamma_N: nearest other distance minus farthest selected distance",
    "geometric inversions GInv_N: pairs with the other token at most as far as the selected one"};

// Euclidean margins are in the units of the value vectors, which have no name.
constexpr std::string_view kUnits = "1";

std::vector<std::int32_t> count_from_zero(int count) {
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  std::iota(labels.begin(), labels.end(), 0);
  return labels;
}

}  // namespace

Dataset make_geometry_dataset(const GeometryLabels& labels) {
  Dataset dataset;
  dataset.add_coordinate("document", labels.documents, {{"long_name", "document@first token"}});
  dataset.add_coordinate("layer", count_from_zero(labels.num_layers),
                         {{"long_name", "layer, counted from 0"}});
  dataset.add_coordinate("head", count_from_zero(labels.num_heads),
                         {{"long_name", "query head, counted from 0"}});
  dataset.add_coordinate("ranking", labels.rankings, {{"long_name", "ranking of the tokens"}});
  dataset.add_coordinate("distance", labels.distances,
                         {{"long_name", "distance from the selected aggregate"}});
  dataset.add_coordinate(
      "set_size", std::vector<std::int32_t>(labels.set_sizes.begin(), labels.set_sizes.end()),
      describe("tokens", "selected tokens N"));
  const std::size_t elements = labels.documents.size() * labels.num_layers * labels.num_heads *
                               labels.rankings.size() * labels.distances.size() *
                               labels.set_sizes.size();
  for (std::size_t i = 0; i < kGeometryMetrics.size(); ++i) {
    dataset.add_variable(std::string(kGeometryMetrics[i]), kDimensions,
                         std::vector<float>(elements, std::numeric_limits<float>::quiet_NaN()),
                         describe(kUnits, kLongNames[i]));
  }
  return dataset;
}

GeometryView::GeometryView(const Dataset& dataset) {
  index = {dataset.dimension_size("document"), dataset.dimension_size("layer"),
           dataset.dimension_size("head"),     dataset.dimension_size("ranking"),
           dataset.dimension_size("distance"), dataset.dimension_size("set_size")};
  documents = dataset.labels<std::string>("document");
  rankings = dataset.labels<std::string>("ranking");
  distances = dataset.labels<std::string>("distance");
  const auto sizes = dataset.labels<std::int32_t>("set_size");
  set_sizes.assign(sizes.begin(), sizes.end());
  for (std::size_t i = 0; i < kGeometryMetrics.size(); ++i) {
    metrics[i] = dataset.values<float>(kGeometryMetrics[i], kDimensions);
  }
}

std::vector<double> mean_over_documents(const GeometryView& view, std::size_t metric,
                                        std::size_t ranking, std::size_t distance,
                                        std::size_t set_size) {
  const GeometryIndex& index = view.index;
  std::vector<double> means;
  means.reserve(index.layers * index.heads);
  for (std::size_t layer = 0; layer < index.layers; ++layer) {
    for (std::size_t head = 0; head < index.heads; ++head) {
      double sum = 0;
      std::size_t count = 0;
      for (std::size_t document = 0; document < index.documents; ++document) {
        const float value =
            view.metrics[metric][index(document, layer, head, ranking, distance, set_size)];
        if (std::isnan(value)) continue;
        sum += value;
        ++count;
      }
      means.push_back(count == 0 ? std::numeric_limits<double>::quiet_NaN()
                                 : sum / static_cast<double>(count));
    }
  }
  return means;
}

}  // namespace toplens
