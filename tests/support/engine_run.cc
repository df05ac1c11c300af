#include "support/engine_run.h"

#include <algorithm>
#include <stdexcept>

#include "base/random.h"
#include "io/npy.h"

namespace toplens::testing {

EngineNumbers run_engine(const CheckpointModel& model, std::span<const TokenIds> documents,
                         ComputeType compute, const EngineCut& cut,
                         std::span<AttentionObserver* const> observers) {
  EngineDemand demand;
  for (const TokenIds& ids : documents) {
    demand.longest_lane = std::max(demand.longest_lane, static_cast<int>(ids.size()));
    demand.total_rows += ids.size();
  }
  demand.lanes_wanted = static_cast<int>(documents.size());
  demand.threads = cut.threads;
  EnginePlan plan = make_engine_plan(model.config(), compute, demand, std::uint64_t{4} << 30);
  plan.group_rows = cut.group_rows;
  ThreadPool pool(cut.threads);
  ForwardPass pass(model, pool, plan);
  OutputHead head(model, pool, plan);
  EngineNumbers numbers;
  const std::size_t batch = cut.lanes_per_batch == 0 ? documents.size() : cut.lanes_per_batch;
  for (std::size_t first = 0; first < documents.size(); first += batch) {
    std::vector<Lane> lanes;
    for (std::size_t i = first; i < std::min(first + batch, documents.size()); ++i) {
      lanes.push_back({documents[i]});
    }
    const HiddenStates hidden = pass.run(lanes, observers);
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
      const MatrixView<const float> rows = hidden.lane(lane);
      numbers.hidden.emplace_back(rows.data(), rows.data() + rows.rows() * rows.columns());
    }
    for (auto& nll : head.token_nll(hidden, lanes)) numbers.nll.push_back(std::move(nll));
  }
  return numbers;
}

namespace {

std::vector<float> copy(MatrixView<const float> matrix) {
  std::vector<float> values;
  for (std::size_t r = 0; r < matrix.rows(); ++r) {
    values.insert(values.end(), matrix.row(r).begin(), matrix.row(r).end());
  }
  return values;
}

}  // namespace

void RecordingObserver::observe(const HeadView& view, int worker) {
  SeenHead head = {view, worker, copy(view.attention), copy(view.values), copy(view.output)};
  const std::lock_guard lock(mutex_);
  const auto key = std::make_tuple(view.head.layer, view.head.query_head, view.lane);
  if (!index_.emplace(key, seen_.size()).second) throw std::logic_error("a head was shown twice");
  seen_.push_back(std::move(head));
}

const SeenHead& RecordingObserver::head(int layer, int query_head, int lane) const {
  return seen_[index_.at({layer, query_head, lane})];
}

TokenIds golden_tokens(const std::filesystem::path& model) {
  const NpyIntArray ids = read_npy_integers(model / "expected" / "token_ids.npy");
  return {ids.values.begin(), ids.values.end()};
}

std::vector<TokenIds> random_documents(std::span<const std::size_t> lengths, int vocab_size,
                                       std::uint64_t seed) {
  Random random(seed);
  std::vector<TokenIds> documents;
  for (const std::size_t length : lengths) {
    TokenIds ids;
    for (std::size_t i = 0; i < length; ++i) {
      ids.push_back(static_cast<std::int32_t>(random.below(static_cast<unsigned>(vocab_size))));
    }
    documents.push_back(std::move(ids));
  }
  return documents;
}

}  // namespace toplens::testing
