#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "results/dataset.h"

namespace toplens {

/// Labels of geometry.nc's dimensions document, layer, head, ranking, distance, set_size.
struct GeometryLabels {
  std::vector<std::string> documents;
  int num_layers = 0;
  int num_heads = 0;
  std::vector<std::string> rankings;
  std::vector<std::string> distances;
  std::vector<int> set_sizes;
};

/// The float32 variables of geometry.nc (theory.md (1)-(5)).
inline constexpr std::array<std::string_view, 5> kGeometryMetrics = {
    "precision", "recall", "f_score", "margin", "inversions"};

/// A dataset of these labels with every variable NaN (not defined), to be filled through
/// Dataset::mutable_values and GeometryIndex.
Dataset make_geometry_dataset(const GeometryLabels& labels);

/// Where an element of a geometry variable lies.
struct GeometryIndex {
  std::size_t documents = 0;
  std::size_t layers = 0;
  std::size_t heads = 0;
  std::size_t rankings = 0;
  std::size_t distances = 0;
  std::size_t set_sizes = 0;

  std::size_t operator()(std::size_t document, std::size_t layer, std::size_t head,
                         std::size_t ranking, std::size_t distance, std::size_t set_size) const {
    return ((((document * layers + layer) * heads + head) * rankings + ranking) * distances +
            distance) *
               set_sizes +
           set_size;
  }
};

/// A geometry dataset read: labels and variables, checked once. Throws Error where a dimension,
/// label or variable is absent or has another form. Keeps views: the dataset must outlive it.
class GeometryView {
 public:
  explicit GeometryView(const Dataset& dataset);

  GeometryIndex index;
  std::span<const std::string> documents;
  std::span<const std::string> rankings;
  std::span<const std::string> distances;
  std::vector<int> set_sizes;
  std::array<std::span<const float>, kGeometryMetrics.size()> metrics;  ///< as kGeometryMetrics

  std::span<const float> precision() const { return metrics[0]; }
  std::span<const float> recall() const { return metrics[1]; }
  std::span<const float> f_score() const { return metrics[2]; }
};

/// Mean over the documents where it is defined, for each head (layer-major); NaN where it is
/// defined in none. `metric` indexes kGeometryMetrics, the others the labels.
std::vector<double> mean_over_documents(const GeometryView& view, std::size_t metric,
                                        std::size_t ranking, std::size_t distance,
                                        std::size_t set_size);

}  // namespace toplens
