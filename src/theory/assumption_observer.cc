#include "theory/assumption_observer.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/matmul.h"

namespace toplens {

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::size_t index(int value) { return static_cast<std::size_t>(value); }

double norm_of(std::span<const double> vector) {
  double square = 0.0;
  for (const double x : vector) square += x * x;
  return std::sqrt(square);
}

double product(std::span<const double> a, std::span<const float> b) {
  double sum = 0.0;
  for (std::size_t c = 0; c < a.size(); ++c) sum += a[c] * double{b[c]};
  return sum;
}

}  // namespace

RecordedShape recorded_shape(const AssumptionOptions& options, const ObservedPass& pass) {
  RecordedShape shape;
  shape.documents = pass.lane_lengths.size();
  shape.layers = index(pass.num_layers);
  shape.heads = index(pass.num_query_heads);
  shape.kv_heads = index(pass.num_kv_heads);
  shape.head_dim = index(pass.head_dim);
  shape.layout.length = pass.lane_lengths.empty() ? 0 : index(pass.lane_lengths.front());
  shape.layout.rankings = options.rankings;
  shape.layout.set_sizes = defined_set_sizes(options.set_sizes, shape.layout.length);
  shape.layout.seed = options.seed;
  return shape;
}

AssumptionObserver::AssumptionObserver(AssumptionOptions options,
                                       std::vector<std::uint64_t> documents)
    : options_(std::move(options)), documents_(std::move(documents)) {}

std::uint64_t AssumptionObserver::bytes_per_worker(std::size_t length, std::size_t head_dim,
                                                   std::size_t set_sizes) {
  // Unit values, 128 rows of cosines, cosines with the aggregates; in float64, what the effective
  // rank needs.
  return 4 * std::uint64_t{length} * (head_dim + 128 + set_sizes + 16) +
         8 * std::uint64_t{head_dim} * (length + 4 * std::uint64_t{head_dim});
}

void AssumptionObserver::begin(const ObservedPass& pass) {
  assert(pass.lane_lengths.size() == documents_.size());
  assert(std::all_of(pass.lane_lengths.begin(), pass.lane_lengths.end(),
                     [&](int length) { return length == pass.lane_lengths.front(); }));
  records_ = make_assumption_records(recorded_shape(options_, pass));
  workers_.clear();
  workers_.resize(index(pass.num_workers));
}

void AssumptionObserver::record_values(const HeadView& view, Worker& worker) {
  if (worker.lane == view.lane && worker.layer == view.head.layer &&
      worker.kv_head == view.kv_head) {
    return;
  }
  worker.lane = view.lane;
  worker.layer = view.head.layer;
  worker.kv_head = view.kv_head;
  const RecordedShape& shape = records_.shape;
  const std::size_t first = index(view.first_visible(view.length - 1));
  const std::size_t visible = shape.layout.length - first;
  const MatrixView<const float> values = view.values.row_range(first, visible);
  worker.similarity.set_values(values, first == 0);

  const std::size_t row =
      (index(view.lane) * shape.layers + index(view.head.layer)) * shape.kv_heads +
      index(view.kv_head);
  const auto at = [](std::vector<float>& to, std::size_t offset) {
    return to.begin() + static_cast<std::ptrdiff_t>(offset);
  };
  const std::span<const float> norms = worker.similarity.norms();
  std::copy(norms.begin(), norms.end(),
            at(records_.value_norms, row * shape.layout.length + first));
  const std::span<const float> lags = worker.similarity.lag_cosines();
  std::copy(lags.begin(), lags.end(), at(records_.lag_cosines, row * shape.layout.lags()));
  records_.sink_cosines[row] = worker.similarity.sink_cosine();
  if (documents_[index(view.lane)] < options_.effective_rank_documents) {
    records_.effective_ranks[row] = static_cast<float>(worker.effective_rank.of(values));
  }
}

void AssumptionObserver::observe(const HeadView& view, int worker_index) {
  Worker& worker = workers_[index(worker_index)];
  record_values(view, worker);
  const RecordedShape& shape = records_.shape;
  const std::size_t first = index(view.first_visible(view.length - 1));
  const std::size_t visible = shape.layout.length - first;
  // Every head and lane writes the same number, but two workers may not write at once.
  if (view.head.query_head == 0 && view.lane == 0) {
    records_.first_visible[index(view.head.layer)] = static_cast<std::int32_t>(first);
  }
  const std::span<const float> weights =
      view.attention.row(view.attention.rows() - 1).subspan(first, visible);
  const std::size_t row = (index(view.lane) * shape.layers + index(view.head.layer)) * shape.heads +
                          index(view.head.query_head);
  std::copy(
      weights.begin(), weights.end(),
      records_.weights.begin() + static_cast<std::ptrdiff_t>(row * shape.layout.length + first));
  recorded_contributions(weights, worker.similarity.norms(), worker.contributions);
  for (std::size_t r = 0; r < shape.layout.rankings.size(); ++r) {
    record_ranking(view, worker, r, view.values.row_range(first, visible), weights);
  }
}

void AssumptionObserver::record_ranking(const HeadView& view, Worker& worker, std::size_t ranking,
                                        MatrixView<const float> values,
                                        std::span<const float> weights) {
  const RecordedShape& shape = records_.shape;
  const AssumptionLayout& layout = shape.layout;
  const std::size_t visible = weights.size();
  const std::size_t first = layout.length - visible;
  const std::size_t dimension = values.columns();
  std::size_t sizes = 0;
  while (sizes < layout.set_sizes.size() && layout.set_size(sizes) < visible) ++sizes;
  if (sizes == 0) return;
  const std::span<const std::uint32_t> order = recorded_order(
      worker.ranker, layout, layout.rankings[ranking], documents_[index(view.lane)],
      index(view.head.layer), index(view.head.query_head), first, weights, worker.contributions);
  worker.ranks.resize(visible);
  for (std::size_t r = 0; r < visible; ++r) {
    worker.ranks[order[r]] = static_cast<std::uint32_t>(r);
  }
  const std::size_t row =
      ((index(view.lane) * shape.layers + index(view.head.layer)) * shape.heads +
       index(view.head.query_head)) *
          layout.rankings.size() +
      ranking;
  const std::size_t cell = row * layout.set_sizes.size();

  // s and s without the sink, down the ranking.
  const bool sink_visible = first == 0;
  const std::size_t sink_rank = sink_visible ? worker.ranks[0] : visible;
  const std::span<const float> norms = worker.similarity.norms();
  worker.aggregate_without_sink.assign(dimension, 0.0);
  worker.directions.assign(sizes * dimension, 0.0f);
  std::size_t walked = 0;
  for (std::size_t n = 0; n < sizes; ++n) {
    for (; walked < layout.set_size(n); ++walked) {
      const std::size_t token = order[walked];
      if (walked == sink_rank) continue;
      const double weight = weights[token];
      const std::span<const float> value = values.row(token);
      for (std::size_t c = 0; c < dimension; ++c) {
        worker.aggregate_without_sink[c] += weight * double{value[c]};
      }
    }
    worker.aggregate = worker.aggregate_without_sink;
    if (sink_rank < layout.set_size(n)) {
      for (std::size_t c = 0; c < dimension; ++c) {
        worker.aggregate[c] += double{weights[0]} * double{values(0, c)};
      }
    }
    const double norm = norm_of(worker.aggregate);
    records_.aggregate_norms[cell + n] = norm;
    if (norm > 0.0) {
      for (std::size_t c = 0; c < dimension; ++c) {
        worker.directions[n * dimension + c] = static_cast<float>(worker.aggregate[c] / norm);
      }
    }
    if (!sink_visible) continue;
    const double rest = norm_of(worker.aggregate_without_sink);
    records_.sink_aggregate_norms[cell + n] = rest;
    if (rest > 0.0 && norms[0] > 0.0f) {
      records_.sink_aggregate_cosines[cell + n] = static_cast<float>(
          product(worker.aggregate_without_sink, worker.similarity.units().row(0)) / rest);
    }
  }

  worker.cosines.resize(sizes * visible);
  multiply_f32({worker.directions.data(), sizes, dimension}, worker.similarity.units(), true,
               {worker.cosines.data(), sizes, visible});
  for (std::size_t n = 0; n < sizes; ++n) {
    const float* cosines = worker.cosines.data() + n * visible;
    const bool defined = records_.aggregate_norms[cell + n] > 0.0;
    const auto cosine_at = [&](std::size_t rank) {
      const std::size_t token = order[rank];
      return defined && norms[token] > 0.0f ? cosines[token] : kNan;
    };
    const std::size_t size = layout.set_size(n);
    float* selected = records_.selected_cosines.data() + row * layout.selected_places() +
                      layout.selected_offset(n);
    for (std::size_t k = 0; k < size; ++k) selected[k] = cosine_at(k);
    float* competitors = records_.competitor_cosines.data() + row * layout.competitor_places() +
                         layout.competitor_offset(n);
    const std::size_t count = AssumptionLayout::competitors(size, visible);
    for (std::size_t k = 0; k < count; ++k) competitors[k] = cosine_at(size + k);
    float* others =
        records_.other_cosines.data() + row * layout.other_places() + layout.other_offset(n);
    const std::size_t sampled = AssumptionLayout::sampled_others(size, visible);
    for (std::size_t k = 0; k < sampled; ++k) {
      others[k] = cosine_at(AssumptionLayout::sampled_rank(size, visible, sampled, k));
    }
  }
  record_near_duplicates(worker, sizes, cell);
}

void AssumptionObserver::record_near_duplicates(Worker& worker, std::size_t sizes,
                                                std::size_t cell) {
  const AssumptionLayout& layout = records_.shape.layout;
  const std::size_t visible = worker.ranks.size();
  // The best rank among each token's near-duplicates: it has one in S_N from that N - 1 on.
  const std::uint32_t none = static_cast<std::uint32_t>(visible);
  worker.duplicates.assign(visible, none);
  for (const auto& pair : worker.similarity.near_duplicates()) {
    worker.duplicates[pair.first] =
        std::min<std::size_t>(worker.duplicates[pair.first], worker.ranks[pair.second]);
    worker.duplicates[pair.second] =
        std::min<std::size_t>(worker.duplicates[pair.second], worker.ranks[pair.first]);
  }
  for (std::size_t n = 0; n < sizes; ++n) {
    const std::size_t size = layout.set_size(n);
    std::size_t count = 0;
    for (std::size_t i = 0; i < visible; ++i) {
      count += worker.ranks[i] >= size && worker.duplicates[i] < size ? 1 : 0;
    }
    records_.near_duplicates[cell + n] =
        static_cast<float>(static_cast<double>(count) / static_cast<double>(visible - size));
  }
}

}  // namespace toplens
