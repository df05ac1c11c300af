#include "model/forward_pass.h"

#include <algorithm>
#include <future>

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
  for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
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
      group.lengths.push_back(lanes[end].token_ids.size());
      ++end;
    }
    group.residual = hidden.range(first, end - first);
    groups.push_back(std::move(group));
    first = end;
  }
  return groups;
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
  const int longest = *std::max_element(pass.lane_lengths.begin(), pass.lane_lengths.end());
  for (AttentionObserver* observer : observers) observer->begin(pass);

  HiddenStates hidden = embed(lanes);
  model_.tensors().check_intact();
  const std::vector<LaneGroup> groups = make_groups(lanes, hidden);
  for (const LaneGroup& group : groups) {
    check_finite(model_, pool_, config.num_layers, group, "embedding");
  }
  model_.release_embeddings();
  LayerForward layer_forward(model_, pool_, plan_, longest, observers);
  const std::uint64_t total = static_cast<std::uint64_t>(config.num_layers) * lanes.size();
  std::uint64_t done = 0;
  model_.prefetch_layer(0);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    // Reading ahead may block in the kernel while it queues, so it has a thread of its own.
    const std::future<void> reading_ahead = std::async(std::launch::async, [this, layer] {
      if (layer + 1 < model_.config().num_layers) model_.prefetch_layer(layer + 1);
    });
    const LayerWeights weights = model_.layer(layer);
    for (const LaneGroup& group : groups) {
      layer_forward.run(layer, weights, group);
      model_.tensors().check_intact();
      done += group.lengths.size();
      layer_lane_forwards_ += group.lengths.size();
      if (progress != nullptr) progress->advance(done, total);
    }
    model_.release_layer(layer);
  }
  for (AttentionObserver* observer : observers) observer->end();
  return hidden;
}

}  // namespace toplens
