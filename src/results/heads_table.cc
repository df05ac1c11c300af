#include "results/heads_table.h"

#include <cassert>
#include <cmath>
#include <limits>
#include <map>

#include <fmt/format.h>

#include "statistics/bootstrap.h"

namespace toplens {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct IntervalColumns {
  std::vector<double> low;
  std::vector<double> high;
};

// Of one ranking, distance and set size.
struct CellColumns {
  std::vector<std::vector<double>> means;  // [metric]
  IntervalColumns f_score;
};

// Draws are shared by all means over the same number of documents.
class FScoreIntervals {
 public:
  FScoreIntervals(const GeometryView& geometry, const BootstrapOptions& options)
      : geometry_(geometry), options_(options) {}

  IntervalColumns columns(std::size_t ranking, std::size_t distance, std::size_t set_size) {
    const GeometryIndex& index = geometry_.index;
    IntervalColumns columns;
    std::vector<double> values;
    for (std::size_t layer = 0; layer < index.layers; ++layer) {
      for (std::size_t head = 0; head < index.heads; ++head) {
        values.clear();
        for (std::size_t document = 0; document < index.documents; ++document) {
          const float f =
              geometry_.f_score()[index(document, layer, head, ranking, distance, set_size)];
          if (!std::isnan(f)) values.push_back(f);
        }
        const std::optional<Interval> interval = of(values);
        columns.low.push_back(interval ? interval->low : kNan);
        columns.high.push_back(interval ? interval->high : kNan);
      }
    }
    return columns;
  }

 private:
  std::optional<Interval> of(const std::vector<double>& values) {
    if (values.size() < 2) return std::nullopt;
    const auto [found, unused] = by_count_.try_emplace(
        values.size(), values.size(), options_.resamples, options_.level, options_.seed);
    return found->second.interval(values);
  }

  const GeometryView& geometry_;
  BootstrapOptions options_;
  std::map<std::size_t, BootstrapMeans> by_count_;
};

std::vector<std::string> undefined_set_sizes(const GeometryView& geometry) {
  std::vector<std::string> lists(geometry.index.layers * geometry.index.heads);
  for (std::size_t n = 0; n < geometry.set_sizes.size(); ++n) {
    std::vector<bool> defined(lists.size(), false);
    for (std::size_t r = 0; r < geometry.rankings.size(); ++r) {
      for (std::size_t d = 0; d < geometry.distances.size(); ++d) {
        const std::vector<double> means = mean_over_documents(geometry, 0, r, d, n);
        for (std::size_t head = 0; head < means.size(); ++head)
          if (!std::isnan(means[head])) defined[head] = true;
      }
    }
    for (std::size_t head = 0; head < lists.size(); ++head) {
      if (defined[head]) continue;
      lists[head] += fmt::format("{}{}", lists[head].empty() ? "" : ";", geometry.set_sizes[n]);
    }
  }
  return lists;
}

}  // namespace

HeadTable::HeadTable(int num_layers, int num_query_heads)
    : table_(static_cast<std::size_t>(num_layers) * static_cast<std::size_t>(num_query_heads)),
      num_query_heads_(num_query_heads) {}

void add_head_columns(HeadTable& table, int num_kv_heads, std::size_t documents) {
  assert(num_kv_heads > 0 && table.num_query_heads() % num_kv_heads == 0);
  const int heads_per_kv_head = table.num_query_heads() / num_kv_heads;
  std::vector<std::int32_t> layers;
  std::vector<std::int32_t> heads;
  std::vector<std::int32_t> kv_heads;
  for (std::size_t row = 0; row < table.num_rows(); ++row) {
    const int head = static_cast<int>(row) % table.num_query_heads();
    layers.push_back(static_cast<int>(row) / table.num_query_heads());
    heads.push_back(head);
    kv_heads.push_back(head / heads_per_kv_head);
  }
  table.add_column("layer", std::move(layers));
  table.add_column("head", std::move(heads));
  table.add_column("kv_head", std::move(kv_heads));
  table.add_column("documents", std::vector<std::int64_t>(table.num_rows(),
                                                          static_cast<std::int64_t>(documents)));
}

void add_geometry_columns(HeadTable& table, const GeometryView& geometry,
                          const BootstrapOptions& options, ThreadPool& pool) {
  assert(geometry.index.layers * geometry.index.heads == table.num_rows());
  table.add_column("not_defined", undefined_set_sizes(geometry));
  // Draws and scratch are a worker's own; the draws are the same.
  std::vector<FScoreIntervals> workers(static_cast<std::size_t>(pool.size()),
                                       FScoreIntervals(geometry, options));
  const std::size_t sizes = geometry.set_sizes.size();
  const std::size_t distances = geometry.distances.size();
  std::vector<CellColumns> cells(geometry.rankings.size() * distances * sizes);
  pool.parallel_for(cells.size(), [&](std::size_t cell, int worker) {
    const std::size_t r = cell / sizes / distances;
    const std::size_t d = cell / sizes % distances;
    const std::size_t n = cell % sizes;
    for (std::size_t m = 0; m < kGeometryMetrics.size(); ++m) {
      cells[cell].means.push_back(mean_over_documents(geometry, m, r, d, n));
    }
    cells[cell].f_score = workers[static_cast<std::size_t>(worker)].columns(r, d, n);
  });
  for (std::size_t cell = 0; cell < cells.size(); ++cell) {
    const std::string suffix =
        fmt::format("_{}_{}_{}", geometry.rankings[cell / sizes / distances],
                    geometry.distances[cell / sizes % distances], geometry.set_sizes[cell % sizes]);
    for (std::size_t m = 0; m < kGeometryMetrics.size(); ++m) {
      const std::string name(kGeometryMetrics[m]);
      table.add_column(name + suffix, std::move(cells[cell].means[m]));
      if (name != "f_score") continue;
      table.add_column(name + "_low" + suffix, std::move(cells[cell].f_score.low));
      table.add_column(name + "_high" + suffix, std::move(cells[cell].f_score.high));
    }
  }
}

}  // namespace toplens
