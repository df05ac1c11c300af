#include "geometry/geometry_observer.h"

#include <cassert>
#include <span>
#include <utility>

namespace toplens {

GeometryResults::GeometryResults(const GeometryOptions& options, std::size_t lanes,
                                 std::size_t layers, std::size_t heads)
    : lanes_(lanes),
      layers_(layers),
      heads_(heads),
      rankings_(options.rankings.size()),
      distances_(options.distances.size()),
      set_sizes_(options.set_sizes.size()),
      means_(lanes * layers * heads * rankings_ * distances_ * set_sizes_),
      num_queries_(lanes * layers * heads * rankings_ * set_sizes_, 0) {}

GeometryObserver::GeometryObserver(GeometryOptions options, QuerySelection queries,
                                   std::vector<std::uint64_t> documents)
    : options_(std::move(options)), queries_(queries), documents_(std::move(documents)) {
  check(options_);
}

void GeometryObserver::begin(const ObservedPass& pass) {
  assert(pass.lane_lengths.size() == documents_.size());
  heads_per_kv_head_ = pass.num_query_heads / pass.num_kv_heads;
  workers_.clear();
  for (int w = 0; w < pass.num_workers; ++w) workers_.emplace_back(options_);
  results_ = GeometryResults(options_, documents_.size(), static_cast<std::size_t>(pass.num_layers),
                             static_cast<std::size_t>(pass.num_query_heads));
}

GeometryObserver::QueryCounts GeometryObserver::count_queries(int length,
                                                              int heads_per_kv_head) const {
  const int queries = length - queries_.first_query(length);
  const int random = options_.random_at_all_queries ? queries : 1;
  return {(queries - random) * heads_per_kv_head, random * heads_per_kv_head};
}

std::uint64_t GeometryObserver::bytes_per_worker(int length, int head_dim,
                                                 int heads_per_kv_head) const {
  const QueryCounts queries = count_queries(length, heads_per_kv_head);
  return HeadGeometry(options_).bytes(static_cast<std::size_t>(length),
                                      static_cast<std::size_t>(head_dim), queries.plain,
                                      queries.random);
}

void GeometryObserver::set_values(Worker& worker, const HeadView& view) const {
  if (worker.lane == view.lane && worker.layer == view.head.layer &&
      worker.kv_head == view.kv_head) {
    return;
  }
  worker.lane = view.lane;
  worker.layer = view.head.layer;
  worker.kv_head = view.kv_head;
  const QueryCounts queries = count_queries(view.length, heads_per_kv_head_);
  worker.geometry.set_values(view.values, view.window, queries.plain, queries.random);
}

void GeometryObserver::observe(const HeadView& view, int worker_index) {
  Worker& worker = workers_[static_cast<std::size_t>(worker_index)];
  set_values(worker, view);
  worker.measured.resize(worker.geometry.num_results());

  const auto lane = static_cast<std::size_t>(view.lane);
  const auto layer = static_cast<std::size_t>(view.head.layer);
  const auto head = static_cast<std::size_t>(view.head.query_head);
  const std::span<Separability> means(
      results_.means_.data() + results_.cell(lane, layer, head, 0, 0, 0), worker.measured.size());
  int* num_queries = results_.num_queries_.data() + results_.query_cell(lane, layer, head, 0, 0);

  GeometryQuery query;
  query.document = documents_[lane];
  query.layer = view.head.layer;
  query.query_head = view.head.query_head;
  for (query.query = queries_.first_query(view.length); query.query < view.length; ++query.query) {
    query.first_visible = view.first_visible(query.query);
    query.with_random = options_.random_at_all_queries || query.query == view.length - 1;
    const std::span<const float> row =
        view.attention.row(static_cast<std::size_t>(query.query - view.first_query));
    worker.geometry.measure(
        query,
        row.subspan(static_cast<std::size_t>(query.first_visible),
                    static_cast<std::size_t>(query.query - query.first_visible + 1)),
        worker.measured);
    for (std::size_t r = 0; r < results_.rankings(); ++r) {
      for (std::size_t n = 0; n < results_.set_sizes(); ++n) {
        if (!worker.measured[worker.geometry.index(r, 0, n)].defined()) continue;
        int& count = num_queries[r * results_.set_sizes() + n];
        for (std::size_t d = 0; d < results_.distances(); ++d) {
          Separability& sum = means[worker.geometry.index(r, d, n)];
          if (count == 0) sum = zero_separability();
          add(sum, worker.measured[worker.geometry.index(r, d, n)]);
        }
        ++count;
      }
    }
  }
  for (std::size_t r = 0; r < results_.rankings(); ++r) {
    for (std::size_t n = 0; n < results_.set_sizes(); ++n) {
      const int count = num_queries[r * results_.set_sizes() + n];
      if (count == 0) continue;
      for (std::size_t d = 0; d < results_.distances(); ++d) {
        divide(means[worker.geometry.index(r, d, n)], count);
      }
    }
  }
}

}  // namespace toplens
