#include "measures/measure_observer.h"

#include <cassert>
#include <cmath>
#include <limits>
#include <utility>

namespace toplens {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::size_t index(int value) { return static_cast<std::size_t>(value); }

/// Features of the signature are means over the queries that have one, so that all of them speak of
/// the same queries; the others' measures are means over all queries.
bool of_signature(std::size_t measure) { return measure <= index_of(Measure::head_output_norm); }

/// Of the values or of all queries at once, not of a query.
bool of_document(Measure measure) {
  switch (measure) {
    case Measure::sink_similarity:
    case Measure::mean_value_norm:
    case Measure::first_value_norm_ratio:
    case Measure::sink_attention:
    case Measure::sink_rate:
    case Measure::value_effective_rank:
    case Measure::output_effective_rank:
      return true;
    default:
      return false;
  }
}

}  // namespace

MeasureObserver::MeasureObserver(MeasureOptions options, QuerySelection queries,
                                 std::vector<std::uint64_t> documents, MeasureRecords& records,
                                 std::size_t setting)
    : options_(std::move(options)),
      queries_(queries),
      documents_(std::move(documents)),
      records_(records),
      setting_(setting) {
  assert(records.shape.set_sizes == options_.set_sizes);
  assert(setting + (queries.is_last() ? 1 : 2) <= records.shape.settings.size());
}

void MeasureObserver::begin(const ObservedPass& pass) {
  assert(pass.lane_lengths.size() == documents_.size() &&
         documents_.size() <= records_.shape.documents);
  heads_per_kv_head_ = pass.num_query_heads / pass.num_kv_heads;
  workers_.clear();
  for (int w = 0; w < pass.num_workers; ++w) {
    workers_.emplace_back(options_.set_sizes, options_.conditions);
  }
}

std::uint64_t MeasureObserver::bytes_per_worker(int length, int head_dim, int heads_per_kv_head,
                                                QuerySelection queries) {
  return HeadMeasures::bytes(index(length), index(head_dim),
                             (length - queries.first_query(length)) * heads_per_kv_head);
}

void MeasureObserver::set_values(Worker& worker, const HeadView& view) const {
  if (worker.lane == view.lane && worker.layer == view.head.layer &&
      worker.kv_head == view.kv_head) {
    return;
  }
  worker.lane = view.lane;
  worker.layer = view.head.layer;
  worker.kv_head = view.kv_head;
  const int queries = view.length - queries_.first_query(view.length);
  worker.measures.set_values(view, queries * heads_per_kv_head_,
                             documents_[index(view.lane)] < options_.effective_rank_documents);
}

void MeasureObserver::Sums::add(const QueryMeasures& query) {
  const std::size_t side = query.reason == SignatureReason::defined ? 0 : 1;
  defined += side == 0 ? 1 : 0;
  for (std::size_t m = 0; m < kNumMeasures; ++m) {
    if (std::isnan(query.values[m])) continue;
    values[side][m] += query.values[m];
    ++counts[side][m];
  }
  for (std::size_t n = 0; n < by_size.size(); ++n) {
    for (std::size_t m = 0; m < kNumSizeMeasures; ++m) {
      if (std::isnan(query.by_size[n][m])) continue;
      by_size[n][m] += query.by_size[n][m];
      ++size_counts[n][m];
    }
  }
}

void MeasureObserver::observe(const HeadView& view, int worker_index) {
  Worker& worker = workers_[index(worker_index)];
  set_values(worker, view);
  Sums selected(options_.set_sizes.size()), final(options_.set_sizes.size());
  SignatureReason final_reason = SignatureReason::defined;
  const int last = view.length - 1;
  for (int query = view.first_query; query <= last; ++query) {
    const QueryMeasures& of =
        worker.measures.measure(view, query, view.attention.row(index(query - view.first_query)));
    selected.add(of);
    if (query < last) continue;
    final.add(of);
    final_reason = of.reason;
  }
  const double output_rank = documents_[index(view.lane)] < options_.effective_rank_documents
                                 ? worker.measures.effective_rank().of(view.all_outputs)
                                 : kNan;
  const QueryMeasures& of_values = worker.measures.of_values();
  store(selected, final_reason, of_values, view, output_rank, setting_);
  if (!queries_.is_last()) {
    store(final, final_reason, of_values, view, output_rank, setting_ + 1);
  }
}

void MeasureObserver::store(const Sums& sums, SignatureReason final_reason,
                            const QueryMeasures& of_values, const HeadView& view,
                            double output_rank, std::size_t setting) {
  const std::size_t cell = records_.shape.cell(index(view.lane), setting, index(view.head.layer),
                                               index(view.head.query_head));
  float* measures = records_.measures.data() + cell * kNumMeasures;
  for (std::size_t m = 0; m < kNumMeasures; ++m) {
    if (of_document(kMeasures[m].measure)) continue;
    double sum = sums.values[0][m];
    int count = sums.counts[0][m];
    if (!of_signature(m) || sums.defined == 0) {
      sum += sums.values[1][m];
      count += sums.counts[1][m];
    }
    if (count > 0) measures[m] = static_cast<float>(sum / count);
  }
  const auto set = [&](Measure measure, double value) {
    measures[index_of(measure)] = static_cast<float>(value);
  };
  for (const Measure measure : {Measure::sink_similarity, Measure::mean_value_norm,
                                Measure::first_value_norm_ratio, Measure::value_effective_rank}) {
    set(measure, of_values[measure]);
  }
  set(Measure::output_effective_rank, output_rank);
  if (view.first_visible(view.length - 1) == 0) {
    double column = 0.0;
    for (const float weight : view.first_token_attention) column += double{weight};
    column /= view.length;
    set(Measure::sink_attention, column);
    set(Measure::sink_rate, column > options_.sink_rate_threshold ? 1.0 : 0.0);
  }
  const std::size_t sizes = options_.set_sizes.size();
  float* by_size = records_.size_measures.data() + cell * sizes * kNumSizeMeasures;
  for (std::size_t n = 0; n < sizes; ++n) {
    for (std::size_t m = 0; m < kNumSizeMeasures; ++m) {
      if (sums.size_counts[n][m] == 0) continue;
      by_size[n * kNumSizeMeasures + m] =
          static_cast<float>(sums.by_size[n][m] / sums.size_counts[n][m]);
    }
  }
  records_.reasons[cell] =
      static_cast<std::int32_t>(sums.defined > 0 ? SignatureReason::defined : final_reason);
}

}  // namespace toplens
