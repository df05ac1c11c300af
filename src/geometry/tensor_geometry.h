#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <toplens/observer.h>

#include "geometry/separability.h"

namespace toplens {

/// A row-major array that somebody else owns; `name` stands for it in messages.
struct NamedTensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  std::span<const float> elements;
};

/// Attention weights and values brought by the user, in one of three forms:
///   [token] and [token, head_dim]: the row of one query over its visible tokens, no window;
///   [head, query, key] and [kv_head, key, head_dim]: causal, as many queries as keys;
///   [layer, head, query, key] and [layer, kv_head, key, head_dim]: the same for each layer.
struct GeometryTensors {
  NamedTensor attention;
  NamedTensor values;
  std::vector<int> layers = {};  ///< of the last form: which to measure; none given: all
  int window = 0;  ///< a query sees itself and the window - 1 tokens before it; 0: all
  QuerySelection queries = QuerySelection::last();
};

/// One measured selection; `layer` only where the arrays have layers.
struct GeometryRecord {
  std::optional<int> layer;
  int query_head = 0;
  int query = 0;
  Ranking ranking = Ranking::attention;
  Distance distance = Distance::euclidean;
  int set_size = 0;
  Separability separability;
};

struct TensorGeometry {
  /// By layer, head, query, ranking, distance, set size. A size that is not below the number of
  /// visible tokens has no record.
  std::vector<GeometryRecord> records;
  /// One line for each set size that has no record somewhere.
  std::vector<std::string> notes;
};

/// Geometry (theory.md 2) of stored arrays. The document of the random rankings is number 0.
/// Throws Error naming array, index, found and expected where shapes do not fit, an element is NaN
/// or infinite, a weight is negative or lies outside what its query sees, or a layer is not there.
TensorGeometry measure_tensors(const GeometryTensors& tensors, const GeometryOptions& options);

}  // namespace toplens
