#include "model/engine_plan.h"

#include <algorithm>

#include <fmt/format.h>
#include <toplens/error.h>

#include "kernels/attention_rows.h"
#include "parallel/memory.h"

namespace toplens {
namespace {

constexpr std::size_t kGroupRows = 8 * kFullBlockRows;

std::uint64_t wide(std::size_t value) { return value; }

struct Sizes {
  std::uint64_t hidden, intermediate, query_width, kv_width, element;

  Sizes(const ModelConfig& c, ComputeType compute)
      : hidden(static_cast<std::uint64_t>(c.hidden_size)),
        intermediate(static_cast<std::uint64_t>(c.intermediate_size)),
        query_width(static_cast<std::uint64_t>(c.num_query_heads) *
                    static_cast<std::uint64_t>(c.head_dim)),
        kv_width(static_cast<std::uint64_t>(c.num_kv_heads) *
                 static_cast<std::uint64_t>(c.head_dim)),
        element(compute == ComputeType::f32 ? 4 : 2) {}
};

/// Buffers of each worker (layer_forward.cc, attention.cc).
std::uint64_t worker_bytes(const ModelConfig& c, const Sizes& s, const EngineDemand& demand,
                           std::size_t block_rows) {
  const auto length = static_cast<std::size_t>(demand.longest_lane);
  const auto head_dim = static_cast<std::size_t>(c.head_dim);
  const std::uint64_t outputs =
      std::min<std::uint64_t>(kMaxSliceOutputs, std::max(s.intermediate, s.query_width));
  const std::uint64_t products = 2 * wide(block_rows) * outputs * 4;
  const std::uint64_t slices =
      demand.converts_weights
          ? outputs * (std::max(s.intermediate, s.hidden) + s.hidden) * s.element
          : 0;
  const std::size_t packed =
      PackedColumns::size(head_dim, length) + PackedColumns::size(length, head_dim);
  const std::size_t outputs_of_head = padded_attention_rows(length) * head_output_stride(head_dim);
  const std::size_t rows =
      kQueryBlock + padded_attention_rows(static_cast<std::size_t>(demand.kept_queries));
  const std::uint64_t attention = 4 * wide(packed + outputs_of_head + kQueryBlock * head_dim +
                                           rows * attention_row_stride(length));
  return products + slices + attention + demand.observer_bytes_per_worker;
}

/// Buffers of a group of `rows` rows on its way through a layer.
std::uint64_t group_bytes(const ModelConfig& c, const Sizes& s, std::size_t rows,
                          std::size_t block_rows) {
  const std::uint64_t padded = (wide(rows) + block_rows - 1) / block_rows * block_rows;
  const std::uint64_t inputs = padded * s.element * (s.hidden + s.query_width + s.intermediate);
  const std::uint64_t projections = wide(rows) * 4 * (s.query_width + 2 * s.kv_width);
  return inputs + projections + (c.post_norms ? wide(rows) * 4 * s.hidden : 0);
}

}  // namespace

ComputeMode parse_compute_mode(std::string_view text) {
  if (text == "auto") return ComputeMode::automatic;
  if (text == "f32") return ComputeMode::f32;
  if (text == "bf16") return ComputeMode::bf16;
  throw Error(fmt::format("unknown compute mode '{}'; expected auto, f32 or bf16", text));
}

std::string_view name(ComputeType type) { return type == ComputeType::f32 ? "f32" : "bf16"; }

ComputeType resolve_compute(ComputeMode mode, DataType weights) {
  if (mode == ComputeMode::bf16) return ComputeType::bf16;
  if (mode == ComputeMode::automatic && weights != DataType::f32 && has_fast_bf16()) {
    return ComputeType::bf16;
  }
  return ComputeType::f32;
}

EnginePlan make_engine_plan(const ModelConfig& config, ComputeType compute,
                            const EngineDemand& demand, std::uint64_t memory_bytes) {
  const Sizes sizes(config, compute);
  EnginePlan plan;
  plan.compute = compute;
  const auto total = static_cast<std::size_t>(std::max<std::uint64_t>(demand.total_rows, 1));
  const std::size_t unit = product_row_unit();
  plan.block_rows = std::min(kFullBlockRows / unit, (total + unit - 1) / unit) * unit;

  const auto length = static_cast<std::size_t>(std::max(demand.longest_lane, 1));
  const std::uint64_t fixed = static_cast<std::uint64_t>(demand.threads) *
                              worker_bytes(config, sizes, demand, plan.block_rows);
  const std::uint64_t lane = wide(length) * 4 * sizes.hidden + demand.observer_bytes_per_lane;
  const auto needed = [&](std::size_t group_lanes, std::size_t lanes) {
    return fixed + group_bytes(config, sizes, group_lanes * length, plan.block_rows) +
           wide(lanes) * lane;
  };
  if (needed(1, 1) > memory_bytes) {
    throw Error(fmt::format(
        "the memory budget of {} is too small: one document of {} tokens needs "
        "{} in this model on {} threads (--memory)",
        format_bytes(memory_bytes), length, format_bytes(needed(1, 1)), demand.threads));
  }
  std::size_t lanes = static_cast<std::size_t>(std::max(demand.lanes_wanted, 1));
  while (lanes > 1 && needed(1, lanes) > memory_bytes) --lanes;
  std::size_t group = std::min(lanes, std::max<std::size_t>(1, kGroupRows / length));
  while (group > 1 && needed(group, lanes) > memory_bytes) --group;
  plan.lanes_per_batch = static_cast<int>(lanes);
  plan.group_rows = group * length;
  plan.bytes = needed(group, lanes);
  return plan;
}

}  // namespace toplens
