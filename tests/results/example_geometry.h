#pragma once

#include <cmath>

#include "results/geometry_dataset.h"

namespace toplens::testing {

/// A geometry dataset whose every element tells where it is, in sixteenths: exact in float32 and
/// short in decimals. The largest set size is not defined for head 0 of the last layer.
inline Dataset example_geometry(std::size_t num_documents, int num_layers, int num_heads,
                                std::vector<int> set_sizes,
                                std::vector<std::string> rankings = {"attention", "random"},
                                std::vector<std::string> distances = {"euclidean"},
                                std::size_t first_document = 0) {
  GeometryLabels labels;
  for (std::size_t i = 0; i < num_documents; ++i)
    labels.documents.push_back("story.txt@" + std::to_string((first_document + i) * 63));
  labels.num_layers = num_layers;
  labels.num_heads = num_heads;
  labels.rankings = std::move(rankings);
  labels.distances = std::move(distances);
  labels.set_sizes = std::move(set_sizes);
  Dataset dataset = make_geometry_dataset(labels);
  const GeometryIndex index = GeometryView(dataset).index;
  for (std::size_t m = 0; m < kGeometryMetrics.size(); ++m) {
    const auto values = dataset.mutable_values<float>(kGeometryMetrics[m]);
    for (std::size_t doc = 0; doc < index.documents; ++doc)
      for (std::size_t l = 0; l < index.layers; ++l)
        for (std::size_t h = 0; h < index.heads; ++h)
          for (std::size_t r = 0; r < index.rankings; ++r)
            for (std::size_t d = 0; d < index.distances; ++d)
              for (std::size_t n = 0; n < index.set_sizes; ++n) {
                if (index.set_sizes > 1 && n + 1 == index.set_sizes && h == 0 &&
                    l + 1 == index.layers)
                  continue;
                const auto step = static_cast<float>((first_document + doc) % 3 + l % 4 + h % 3 +
                                                     2 * n + 3 * r + d);
                values[index(doc, l, h, r, d, n)] =
                    m < 3 ? 1.0f - (step + static_cast<float>(m)) / 32.0f
                          : step - 4.0f + static_cast<float>(m);
              }
  }
  return dataset;
}

}  // namespace toplens::testing
