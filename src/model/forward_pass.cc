#include "model/forward_pass.h"

#include <algorithm>
#include <cassert>
#include <future>
#include <utility>

#include <fmt/format.h>
#include <toplens/error.h>

#include "kernels/convert.h"

namespace toplens {

HiddenStates::HiddenStates(std::span<const Lane> lanes, std::size_t hidden_size)
    : columns_(hidden_size), first_rows_{0} {
  for (const Lane& lane : lanes) {
    lengths_.push_back(lane.token_ids.size());
    first_rows_.push_back(first_rows_.back() + lane.token_ids.size());
  }
  values_.resize(rows() * columns_);
}

ForwardPass::ForwardPass(const CheckpointModel& model, ThreadPool& pool, const EnginePlan& plan)
    : model_(model), pool_(pool), plan_(plan) {}

HiddenStates ForwardPass::embed(std::span<const Lane> lanes) const {
  const ModelConfig& config = model_.config();
  const WeightMatrix table = model_.embedding();
  HiddenStates hidden(lanes, static_cast<std::size_t>(config.hidden_size));
  const auto scale = static_cast<float>(config.embedding_scale);
  for (std::size_t lane = 0; lane < lanes.size() && lanes[lane].fork_of < 0; ++lane) {
    const std::span<const std::int32_t> ids = lanes[lane].token_ids;
    const MatrixView<float> rows = hidden.lane(lane);
    for (std::size_t t = 0; t < ids.size(); ++t) {
      if (ids[t] < 0 || ids[t] >= config.vocab_size) {
        throw Error(
            fmt::format("document {}: token id {} at position {} is outside the model's "
                        "vocabulary of {}",
                        lane, ids[t], t, config.vocab_size));
      }
      convert_to_f32(table.row(static_cast<std::size_t>(ids[t])), table.type, rows.row(t));
      if (scale != 1.0f) {
        for (float& value : rows.row(t)) value *= scale;
      }
    }
  }
  return hidden;
}

std::vector<LaneGroup> ForwardPass::make_groups(std::span<const Lane> lanes,
                                                HiddenStates& hidden) const {
  std::vector<LaneGroup> groups;
  for (std::size_t first = 0; first < lanes.size();) {
    LaneGroup group;
    group.first_lane = static_cast<int>(first);
    std::size_t rows = 0, end = first;
    while (end < lanes.size() &&
           (end == first || rows + lanes[end].token_ids.size() <= plan_.group_rows)) {
      rows += lanes[end].token_ids.size();
      ++end;
    }
    group.lanes = lanes.subspan(first, end - first);
    group.residual = hidden.range(first, end - first);
    groups.push_back(group);
    first = end;
  }
  return groups;
}

void ForwardPass::fork_lanes(std::span<const Lane> lanes, std::size_t first, std::size_t end,
                             HiddenStates& hidden) {
  for (std::size_t lane = first; lane < end; ++lane) {
    const auto source = static_cast<std::size_t>(lanes[lane].fork_of);
    assert(lanes[source].treatment == nullptr &&
           lanes[source].token_ids.size() == lanes[lane].token_ids.size());
    const MatrixView<const float> from = hidden.lane(source);
    std::copy_n(from.data(), from.rows() * from.columns(), hidden.lane(lane).data());
  }
}

HiddenStates ForwardPass::run(std::span<const Lane> lanes,
                              std::span<AttentionObserver* const> observers,
                              ProgressListener* progress) {
  const ModelConfig& config = model_.config();
  ObservedPass pass;
  pass.num_layers = config.num_layers;
  pass.num_query_heads = config.num_query_heads;
  pass.num_kv_heads = config.num_kv_heads;
  pass.head_dim = config.head_dim;
  pass.num_workers = pool_.size();
  for (const Lane& lane : lanes) {
    pass.lane_lengths.push_back(static_cast<int>(lane.token_ids.size()));
  }
  for (AttentionObserver* observer : observers) observer->begin(pass);

  HiddenStates hidden = embed(lanes);
  model_.tensors().check_intact();
  const auto forks_later = [&](int layer) {
    return [layer](const Lane& lane) { return lane.fork_of >= 0 && lane.first_layer() >= layer; };
  };
  assert(std::is_sorted(lanes.begin(), lanes.end(), [](const Lane& a, const Lane& b) {
    return std::pair(a.fork_of >= 0, a.first_layer()) < std::pair(b.fork_of >= 0, b.first_layer());
  }));
  // Lanes [0, active) have been computed up to the current layer.
  auto active = static_cast<std::size_t>(std::find_if(lanes.begin(), lanes.end(), forks_later(0)) -
                                         lanes.begin());
  std::vector<LaneGroup> groups = make_groups(lanes.first(active), hidden);
  for (const LaneGroup& group : groups) {
    check_finite(model_, pool_, config.num_layers, group, "embedding");
  }
  model_.release_embeddings();
  LayerForward layer_forward(model_, pool_, plan_, lanes, observers);
  const auto layers = static_cast<std::uint64_t>(config.num_layers);
  std::uint64_t total = 0, done = 0;
  for (const Lane& lane : lanes) total += layers - static_cast<std::uint64_t>(lane.first_layer());
  model_.prefetch_layer(0);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const auto now_active = static_cast<std::size_t>(
        std::find_if(lanes.begin(), lanes.end(), forks_later(layer + 1)) - lanes.begin());
    if (now_active > active) {
      fork_lanes(lanes, active, now_active, hidden);
      active = now_active;
      groups = make_groups(lanes.first(active), hidden);
    }
    // Reading ahead may block in the kernel while it queues, so it has a thread of its own.
    const std::future<void> reading_ahead = std::async(std::launch::async, [this, layer] {
      if (layer + 1 < model_.config().num_layers) model_.prefetch_layer(layer + 1);
    });
    const LayerWeights weights = model_.layer(layer);
    for (const LaneGroup& group : groups) {
      layer_forward.run(layer, weights, group);
      model_.tensors().check_intact();
      done += group.lanes.size();
      layer_lane_forwards_ += group.lanes.size();
      if (progress != nullptr) progress->advance(done, total);
    }
    model_.release_layer(layer);
  }
  // A treatment of no head is no treatment.
  fork_lanes(lanes, active, lanes.size(), hidden);
  hidden.set_rows_without_mass(layer_forward.rows_without_mass());
  for (AttentionObserver* observer : observers) observer->end();
  return hidden;
}

}  // namespace toplens
