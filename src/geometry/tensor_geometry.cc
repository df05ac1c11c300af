#include "geometry/tensor_geometry.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <fmt/core.h>
#include <fmt/format.h>

#include <toplens/array_view.h>
#include <toplens/error.h>

#include "geometry/head_geometry.h"

namespace toplens {

namespace {

std::string shape_text(const NamedTensor& tensor) {
  return fmt::format("[{}]", fmt::join(tensor.shape, ", "));
}

/// "attention.npy[2, 0, 17]": where a flat offset lies.
std::string element_text(const NamedTensor& tensor, std::size_t offset) {
  std::vector<std::size_t> indices(tensor.shape.size());
  for (std::size_t axis = indices.size(); axis-- > 0;) {
    indices[axis] = offset % tensor.shape[axis];
    offset /= tensor.shape[axis];
  }
  return fmt::format("{}[{}]", tensor.name, fmt::join(indices, ", "));
}

/// The arrays' sizes, whatever their form.
struct Extents {
  std::size_t layers = 1;
  std::size_t heads = 1;
  std::size_t kv_heads = 1;
  std::size_t queries = 1;
  std::size_t tokens = 0;
  std::size_t head_dim = 0;
};

[[noreturn]] void throw_shape(const NamedTensor& tensor, const std::string& expected) {
  throw Error(
      fmt::format("{}: found shape {}, expected {}", tensor.name, shape_text(tensor), expected));
}

void check_size(const NamedTensor& tensor) {
  std::size_t elements = 1;
  for (const std::uint64_t extent : tensor.shape) {
    if (extent == 0) throw_shape(tensor, "no dimension of length 0");
    if (__builtin_mul_overflow(elements, extent, &elements)) elements = 0;
  }
  if (elements != tensor.elements.size()) {
    throw_shape(tensor, fmt::format("one of {} elements in all", tensor.elements.size()));
  }
}

Extents check_shapes(const GeometryTensors& tensors) {
  const NamedTensor& attention = tensors.attention;
  const NamedTensor& values = tensors.values;
  const std::vector<std::uint64_t>& a = attention.shape;
  const std::vector<std::uint64_t>& v = values.shape;
  Extents extents;
  check_size(attention);
  check_size(values);
  if (a.size() == 1) {
    if (v.size() != 2 || v[0] != a[0]) {
      throw_shape(values, fmt::format("[{}, head_dim] beside {} {}", a[0], attention.name,
                                      shape_text(attention)));
    }
    extents.tokens = a[0];
    extents.head_dim = v[1];
    return extents;
  }
  if (a.size() != 3 && a.size() != 4) {
    throw_shape(attention, "[token], [head, query, key] or [layer, head, query, key] as attention");
  }
  const std::size_t lead = a.size() - 3;  // axes before the heads
  if (a[lead + 1] != a[lead + 2]) {
    throw_shape(attention, "as many queries as keys (the last two dimensions)");
  }
  if (v.size() != a.size() || v[lead + 1] != a[lead + 2] || (lead == 1 && v[0] != a[0])) {
    throw_shape(values, fmt::format("[{}kv_head, {}, head_dim] beside {} {}",
                                    lead == 1 ? fmt::format("{}, ", a[0]) : "", a[lead + 2],
                                    attention.name, shape_text(attention)));
  }
  if (a[lead] % v[lead] != 0) {
    throw_shape(values, fmt::format("a number of kv heads that divides the {} heads of {}", a[lead],
                                    attention.name));
  }
  extents.layers = lead == 1 ? a[0] : 1;
  extents.heads = a[lead];
  extents.kv_heads = v[lead];
  extents.queries = a[lead + 1];
  extents.tokens = a[lead + 2];
  extents.head_dim = v[lead + 2];
  return extents;
}

void check_finite(const NamedTensor& tensor, std::size_t first, std::size_t count,
                  bool negative_allowed) {
  for (std::size_t i = first; i < first + count; ++i) {
    const float x = tensor.elements[i];
    if (std::isfinite(x) && (negative_allowed || x >= 0.0f)) continue;
    throw Error(fmt::format("{}: found {}, expected a finite {}", element_text(tensor, i), x,
                            negative_allowed ? "value" : "attention weight >= 0"));
  }
}

/// The causal, windowed mask of one head: nothing outside what the queries see.
void check_mask(const GeometryTensors& tensors, std::size_t first, const Extents& extents) {
  const auto window = static_cast<std::size_t>(tensors.window);
  for (std::size_t query = 0; query < extents.queries; ++query) {
    const std::size_t row = first + query * extents.tokens;
    const std::size_t first_visible = window > 0 && query + 1 > window ? query + 1 - window : 0;
    for (std::size_t key = 0; key < extents.tokens; ++key) {
      if (tensors.attention.elements[row + key] == 0.0f) continue;
      if (key >= first_visible && key <= query) continue;
      throw Error(fmt::format("{}: found {}, expected 0 since query {} sees tokens {} to {}{}",
                              element_text(tensors.attention, row + key),
                              tensors.attention.elements[row + key], query, first_visible, query,
                              window > 0 ? fmt::format(" (window {})", window) : ""));
    }
  }
}

std::vector<int> wanted_layers(const GeometryTensors& tensors, const Extents& extents) {
  const bool has_layers = tensors.attention.shape.size() == 4;
  if (!has_layers && !tensors.layers.empty()) {
    throw Error(fmt::format("layers: given, but {} {} has no layer dimension",
                            tensors.attention.name, shape_text(tensors.attention)));
  }
  std::vector<int> layers = tensors.layers;
  if (layers.empty()) {
    for (std::size_t layer = 0; layer < extents.layers; ++layer) {
      layers.push_back(static_cast<int>(layer));
    }
  }
  for (const int layer : layers) {
    if (layer < 0 || static_cast<std::size_t>(layer) >= extents.layers) {
      throw Error(fmt::format("layers: found {}, but {} has layers 0 to {}", layer,
                              tensors.attention.name, extents.layers - 1));
    }
  }
  return layers;
}

/// Counts where set sizes have no record, for one line each.
class UndefinedSizes {
 public:
  explicit UndefinedSizes(const std::vector<int>& set_sizes)
      : set_sizes_(set_sizes), counts_(set_sizes.size(), 0) {}

  void see(std::size_t visible) {
    ++rows_;
    fewest_ = rows_ == 1 ? visible : std::min(fewest_, visible);
    most_ = std::max(most_, visible);
    for (std::size_t n = 0; n < set_sizes_.size(); ++n) {
      counts_[n] += static_cast<std::size_t>(set_sizes_[n]) >= visible ? 1 : 0;
    }
  }
  std::vector<std::string> notes() const {
    std::vector<std::string> lines;
    const std::string visible =
        fewest_ == most_ ? fmt::format("{}", most_) : fmt::format("{} to {}", fewest_, most_);
    for (std::size_t n = 0; n < set_sizes_.size(); ++n) {
      if (counts_[n] == 0) continue;
      lines.push_back(
          fmt::format("set size {}: not defined at {} of {} attention rows, which need more "
                      "visible tokens than that (rows have {})",
                      set_sizes_[n], counts_[n], rows_, visible));
    }
    return lines;
  }

 private:
  std::vector<int> set_sizes_;
  std::vector<std::size_t> counts_;
  std::size_t rows_ = 0;
  std::size_t fewest_ = 0;
  std::size_t most_ = 0;
};

void append_records(const HeadGeometry& geometry, std::optional<int> layer,
                    const GeometryQuery& query, std::span<const Separability> measured,
                    std::vector<GeometryRecord>& records) {
  const GeometryOptions& options = geometry.options();
  for (std::size_t r = 0; r < options.rankings.size(); ++r) {
    for (std::size_t d = 0; d < options.distances.size(); ++d) {
      for (std::size_t n = 0; n < options.set_sizes.size(); ++n) {
        const Separability& separability = measured[geometry.index(r, d, n)];
        if (!separability.defined()) continue;
        records.push_back({layer, query.query_head, query.query, options.rankings[r],
                           options.distances[d], options.set_sizes[n], separability});
      }
    }
  }
}

}  // namespace

TensorGeometry measure_tensors(const GeometryTensors& tensors, const GeometryOptions& options) {
  HeadGeometry geometry(options);
  const Extents extents = check_shapes(tensors);
  const bool one_row = tensors.attention.shape.size() == 1;
  const bool has_layers = tensors.attention.shape.size() == 4;
  if (tensors.window < 0) {
    throw Error(fmt::format("window: found {}, expected 1 or more, or 0 for none", tensors.window));
  }
  if (one_row && tensors.window > 0) {
    throw Error(
        fmt::format("window: given, but {} {} is the row of one query over its visible "
                    "tokens; a window needs [head, query, key]",
                    tensors.attention.name, shape_text(tensors.attention)));
  }
  const std::vector<int> layers = wanted_layers(tensors, extents);

  const std::size_t rows_of_head = extents.queries * extents.tokens;
  const std::size_t values_of_head = extents.tokens * extents.head_dim;
  const std::size_t heads_per_kv_head = extents.heads / extents.kv_heads;
  const int last_query = static_cast<int>(extents.tokens) - 1;
  const int first_query =
      one_row ? last_query : tensors.queries.first_query(static_cast<int>(extents.queries));
  const int queries = (last_query - first_query + 1) * static_cast<int>(heads_per_kv_head);
  const int random_queries =
      options.random_at_all_queries ? queries : static_cast<int>(heads_per_kv_head);

  TensorGeometry result;
  UndefinedSizes undefined(options.set_sizes);
  std::vector<Separability> measured(geometry.num_results());
  for (const int layer : layers) {
    for (std::size_t head = 0; head < extents.heads; ++head) {
      const std::size_t attention_begin =
          (static_cast<std::size_t>(layer) * extents.heads + head) * rows_of_head;
      check_finite(tensors.attention, attention_begin, rows_of_head, false);
      if (!one_row) check_mask(tensors, attention_begin, extents);
      if (head % heads_per_kv_head == 0) {
        const std::size_t kv_head = head / heads_per_kv_head;
        const std::size_t values_begin =
            (static_cast<std::size_t>(layer) * extents.kv_heads + kv_head) * values_of_head;
        check_finite(tensors.values, values_begin, values_of_head, true);
        geometry.set_values(MatrixView<const float>(tensors.values.elements.data() + values_begin,
                                                    extents.tokens, extents.head_dim),
                            tensors.window, queries - random_queries, random_queries);
      }
      GeometryQuery query;
      query.layer = layer;
      query.query_head = static_cast<int>(head);
      for (query.query = first_query; query.query <= last_query; ++query.query) {
        query.first_visible = tensors.window > 0 && query.query + 1 > tensors.window
                                  ? query.query + 1 - tensors.window
                                  : 0;
        query.with_random = options.random_at_all_queries || query.query == last_query;
        const auto visible = static_cast<std::size_t>(query.query - query.first_visible + 1);
        const std::size_t row =
            one_row ? 0 : static_cast<std::size_t>(query.query) * extents.tokens;
        undefined.see(visible);
        geometry.measure(
            query,
            tensors.attention.elements.subspan(
                attention_begin + row + static_cast<std::size_t>(query.first_visible), visible),
            measured);
        append_records(geometry, has_layers ? std::optional<int>(layer) : std::nullopt, query,
                       measured, result.records);
      }
    }
  }
  result.notes = undefined.notes();
  return result;
}

}  // namespace toplens
