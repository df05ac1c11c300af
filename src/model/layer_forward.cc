#include "model/layer_forward.h"

#include <algorithm>
#include <array>
#include <atomic>

#include <fmt/format.h>
#include <toplens/error.h>

#include "kernels/convert.h"
#include "kernels/gated_activation.h"
#include "kernels/rms_norm.h"

namespace toplens {
namespace {

constexpr std::size_t kRowsPerTask = 32;

std::size_t size(int value) { return static_cast<std::size_t>(value); }

void add_to(std::span<float> to, std::span<const float> values) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += values[i];
}

/// A store that writes rows of `width` values into `buffer`, with the bias added where there is
/// one.
Projector::Store store_into(std::vector<float>& buffer, std::size_t rows, std::size_t width,
                            std::span<const float> bias) {
  if (buffer.size() < rows * width) buffer.resize(rows * width);
  float* data = buffer.data();
  return [data, width, bias](std::size_t row, std::size_t first, std::span<const float> values) {
    float* to = data + row * width + first;
    std::copy(values.begin(), values.end(), to);
    if (!bias.empty()) add_to({to, values.size()}, bias.subspan(first, values.size()));
  };
}

/// The lane and the position in it of a row of the group.
std::pair<int, std::size_t> locate(const LaneGroup& group, std::size_t row) {
  int lane = group.first_lane;
  for (const Lane& member : group.lanes) {
    if (row < member.token_ids.size()) break;
    row -= member.token_ids.size();
    ++lane;
  }
  return {lane, row};
}

int longest_lane(std::span<const Lane> lanes) {
  std::size_t longest = 0;
  for (const Lane& lane : lanes) longest = std::max(longest, lane.token_ids.size());
  return static_cast<int>(longest);
}

[[noreturn]] void throw_not_finite(const CheckpointModel& model, int layer,
                                   const std::string& what) {
  model.tensors().check_intact();  // weights that could not be read are no weights
  const std::string weight = model.find_non_finite_weight(layer);
  throw Error(fmt::format("{} ({})", what,
                          weight.empty() ? "the weights are finite: an overflow" : weight));
}

}  // namespace

void for_row_ranges(ThreadPool& pool, std::size_t rows,
                    const std::function<void(std::size_t, std::size_t, int)>& task) {
  const std::size_t tasks = (rows + kRowsPerTask - 1) / kRowsPerTask;
  pool.parallel_for(tasks, [&](std::size_t index, int worker) {
    const std::size_t first = index * kRowsPerTask;
    task(first, std::min(kRowsPerTask, rows - first), worker);
  });
}

void check_finite(const CheckpointModel& model, ThreadPool& pool, int layer, const LaneGroup& group,
                  const std::string& where) {
  const std::size_t rows = group.residual.rows();
  std::atomic<std::size_t> bad{rows};
  for_row_ranges(pool, rows, [&](std::size_t first, std::size_t count, int) {
    for (std::size_t row = first; row < first + count; ++row) {
      if (all_finite(group.residual.row(row))) continue;
      std::size_t seen = bad;
      while (row < seen && !bad.compare_exchange_weak(seen, row)) {
      }
      return;
    }
  });
  if (bad == rows) return;
  const auto place = locate(group, bad);
  throw_not_finite(model, layer,
                   fmt::format("{}: activations are not finite in document {} at token {}", where,
                               place.first, place.second));
}

LayerForward::LayerForward(const CheckpointModel& model, ThreadPool& pool, const EnginePlan& plan,
                           std::span<const Lane> lanes,
                           std::span<AttentionObserver* const> observers)
    : model_(model),
      config_(model.config()),
      pool_(pool),
      rope_(config_.rope, config_.head_dim, longest_lane(lanes)),
      projector_(pool, plan.compute),
      normalized_(plan.compute, plan.block_rows),
      attended_(plan.compute, plan.block_rows),
      activated_(plan.compute, plan.block_rows),
      rows_without_mass_(lanes.size()) {
  for (int worker = 0; worker < pool.size(); ++worker) {
    heads_.emplace_back(config_, rope_, observers, worker);
  }
}

void LayerForward::run(int layer, const LayerWeights& weights, const LaneGroup& group) {
  attention(layer, weights, group);
  mlp(weights, group);
  check_finite(model_, pool_, layer, group, fmt::format("layer {}", layer));
}

void LayerForward::normalize_into(InputMatrix& input, MatrixView<const float> rows,
                                  std::span<const float> norm) {
  input.resize(rows.rows(), rows.columns());
  for_row_ranges(pool_, rows.rows(), [&](std::size_t first, std::size_t count, int) {
    std::vector<float> normalized(rows.columns());
    for (std::size_t row = first; row < first + count; ++row) {
      rms_norm(rows.row(row), norm, config_.norm_epsilon, normalized);
      input.store(row, 0, normalized);
    }
  });
}

void LayerForward::add_projection(const InputMatrix& input, const WeightMatrix& weights,
                                  std::span<const float> post, MatrixView<float> residual) {
  if (post.empty()) {
    const std::array<Projector::Output, 1> output = {{{
        &weights,
        [&](std::size_t row, std::size_t first, std::span<const float> values) {
          add_to(residual.row(row).subspan(first, values.size()), values);
        },
    }}};
    projector_.run(input, output);
    return;
  }
  const std::size_t width = residual.columns();
  const std::array<Projector::Output, 1> output = {
      {{&weights, store_into(delta_, residual.rows(), width, {})}}};
  projector_.run(input, output);
  const MatrixView<float> delta(delta_.data(), residual.rows(), width);
  for_row_ranges(pool_, residual.rows(), [&](std::size_t first, std::size_t count, int) {
    for (std::size_t row = first; row < first + count; ++row) {
      rms_norm(delta.row(row), post, config_.norm_epsilon, delta.row(row));
      add_to(residual.row(row), delta.row(row));
    }
  });
}

void LayerForward::attention(int layer, const LayerWeights& weights, const LaneGroup& group) {
  const std::size_t rows = group.residual.rows();
  const std::size_t query_width = size(config_.num_query_heads * config_.head_dim);
  const std::size_t kv_width = size(config_.num_kv_heads * config_.head_dim);
  normalize_into(normalized_, group.residual, weights.attention_norm);
  const std::array<Projector::Output, 3> outputs = {
      {{&weights.query, store_into(query_, rows, query_width, weights.query_bias)},
       {&weights.key, store_into(key_, rows, kv_width, weights.key_bias)},
       {&weights.value, store_into(value_, rows, kv_width, weights.value_bias)}}};
  projector_.run(normalized_, outputs);

  attended_.resize(rows, query_width);
  std::vector<std::size_t> first_rows;
  std::size_t first_row = 0;
  for (const Lane& lane : group.lanes) {
    first_rows.push_back(first_row);
    first_row += lane.token_ids.size();
  }
  const std::size_t kv_heads = size(config_.num_kv_heads);
  std::vector<std::atomic<std::uint64_t>> without_mass(group.lanes.size());
  pool_.parallel_for(group.lanes.size() * kv_heads, [&](std::size_t task, int worker) {
    const std::size_t lane = task / kv_heads;
    const std::size_t first = first_rows[lane], length = group.lanes[lane].token_ids.size();
    AttentionInput input;
    input.treatment = group.lanes[lane].treatment;
    input.document = group.lanes[lane].document;
    input.layer = layer;
    input.lane = group.first_lane + static_cast<int>(lane);
    input.query = {query_.data() + first * query_width, length, query_width};
    input.key = {key_.data() + first * kv_width, length, kv_width};
    input.value = {value_.data() + first * kv_width, length, kv_width};
    try {
      without_mass[lane] +=
          heads_[size(worker)].run(input, static_cast<int>(task % kv_heads), attended_, first);
    } catch (const NonFiniteAttention& found) {
      throw_not_finite(model_, layer,
                       fmt::format("layer {}: {} {} are not finite in document {} at token {}",
                                   layer, found.what, found.head, input.lane, found.position));
    }
  });
  for (std::size_t lane = 0; lane < group.lanes.size(); ++lane) {
    rows_without_mass_[size(group.first_lane) + lane] += without_mass[lane];
  }
  add_projection(attended_, weights.output, weights.post_attention_norm, group.residual);
}

void LayerForward::mlp(const LayerWeights& weights, const LaneGroup& group) {
  normalize_into(normalized_, group.residual, weights.mlp_norm);
  activated_.resize(group.residual.rows(), weights.gate.rows);
  const Projector::Gate gate = config_.activation == Activation::silu ? silu_gate : gelu_tanh_gate;
  projector_.run_gated(normalized_, weights.gate, weights.up, gate,
                       [&](std::size_t row, std::size_t first, std::span<const float> values) {
                         activated_.store(row, first, values);
                       });
  add_projection(activated_, weights.down, weights.post_mlp_norm, group.residual);
}

}  // namespace toplens
