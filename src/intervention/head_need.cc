#include "intervention/head_need.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <toplens/error.h>

#include "geometry/geometry_observer.h"

namespace toplens {
namespace {

/// log n_eff (theory.md 8) of the final query of each lane, layer and head.
class SpreadObserver : public AttentionObserver {
 public:
  QuerySelection queries() const override { return QuerySelection::last(); }
  void begin(const ObservedPass& pass) override {
    heads_ = static_cast<std::size_t>(pass.num_layers * pass.num_query_heads);
    num_query_heads_ = pass.num_query_heads;
    log_spread_.assign(pass.lane_lengths.size() * heads_, 0.0);
  }
  void observe(const HeadView& view, int) override {
    const std::span<const float> weights = view.attention.row(0);
    double sum = 0, squares = 0;
    for (std::size_t i = 1; i < weights.size(); ++i) {
      sum += weights[i];
      squares += double{weights[i]} * weights[i];
    }
    // All weight on the sink: what is left attends to nothing, as one token would.
    const double spread = squares > 0 ? sum * sum / squares : 1.0;
    const int head = view.head.layer * num_query_heads_ + view.head.query_head;
    log_spread_[static_cast<std::size_t>(view.lane) * heads_ + static_cast<std::size_t>(head)] =
        std::log(spread);
  }
  double at(std::size_t lane, std::size_t head) const { return log_spread_[lane * heads_ + head]; }

 private:
  std::size_t heads_ = 0;
  int num_query_heads_ = 1;
  std::vector<double> log_spread_;
};

GeometryOptions small_sizes() {
  GeometryOptions options;
  options.set_sizes = {2, 3, 4};
  options.rankings = {Ranking::attention};
  options.distances = {Distance::euclidean};
  options.with_inversions = false;
  return options;
}

}  // namespace

double HeadNeed::tokens(int num_visible) const {
  const double effective = std::pow(num_visible - 1.0, 1.0 - selectivity);
  return 1.0 + effective * (2.0 - small_f);
}

std::vector<HeadNeed> measure_head_needs(ModelSession& session,
                                         std::span<const ScoredWindow> windows) {
  const ModelConfig& config = session.config();
  const auto query_heads = static_cast<std::size_t>(config.num_query_heads);
  const std::size_t heads = static_cast<std::size_t>(config.num_layers) * query_heads;
  const std::size_t length = windows.front().token_ids.size();
  if (length < 6) throw Error("head needs are measured on windows of at least 6 tokens");
  const GeometryOptions options = small_sizes();
  const GeometryObserver sizing(options, QuerySelection::last(), {});
  std::vector<std::size_t> lengths;
  for (const ScoredWindow& window : windows) lengths.push_back(window.token_ids.size());
  EngineDemand demand;
  demand.lanes_wanted = 16;
  demand.kept_queries = static_cast<int>(kQueryBlock);
  demand.observer_bytes_per_worker = sizing.bytes_per_worker(
      static_cast<int>(length), config.head_dim, config.num_query_heads / config.num_kv_heads);
  const EnginePlan plan = session.plan(lengths, demand);
  ForwardPass pass(session.model(), session.pool(), plan);

  std::vector<HeadNeed> needs(heads);
  const auto batch = static_cast<std::size_t>(plan.lanes_per_batch);
  for (std::size_t first = 0; first < windows.size(); first += batch) {
    const std::size_t count = std::min(batch, windows.size() - first);
    std::vector<Lane> lanes;
    std::vector<std::uint64_t> documents;
    for (std::size_t i = first; i < first + count; ++i) {
      Lane lane;
      lane.token_ids = windows[i].token_ids;
      lanes.push_back(lane);
      documents.push_back(windows[i].document);
    }
    SpreadObserver spread;
    GeometryObserver geometry(options, QuerySelection::last(), documents);
    AttentionObserver* const observers[] = {&spread, &geometry};
    pass.run(lanes, observers);
    for (std::size_t lane = 0; lane < count; ++lane) {
      for (std::size_t head = 0; head < heads; ++head) {
        needs[head].selectivity += spread.at(lane, head);  // log n_eff so far
        for (std::size_t size = 0; size < options.set_sizes.size(); ++size) {
          needs[head].small_f += geometry.results()
                                     .at(lane, head / query_heads, head % query_heads, 0, 0, size)
                                     .f_score;
        }
      }
    }
  }
  const auto documents = static_cast<double>(windows.size());
  for (HeadNeed& need : needs) {
    need.selectivity =
        1.0 - need.selectivity / documents / std::log(static_cast<double>(length) - 1);
    need.small_f /= documents * static_cast<double>(options.set_sizes.size());
  }
  return needs;
}

}  // namespace toplens
