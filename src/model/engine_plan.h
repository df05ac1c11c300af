#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/data_type.h"
#include "kernels/matmul.h"
#include "model/model_config.h"

namespace toplens {

/// --compute: automatic is bf16 for BF16, F16 and quantised checkpoints where the machine
/// multiplies it fast, else f32.
enum class ComputeMode { automatic, f32, bf16 };
/// "auto", "f32", "bf16". Throws Error listing these.
ComputeMode parse_compute_mode(std::string_view text);
std::string_view name(ComputeType type);
ComputeType resolve_compute(ComputeMode mode, DataType weights);

/// What a run asks of the engine. The plan depends on all lanes of the run, not on how they are
/// batched.
struct EngineDemand {
  int longest_lane = 0;          ///< tokens
  std::uint64_t total_rows = 0;  ///< tokens of all lanes of the run
  int kept_queries = 0;          ///< attention rows that observers see, of the longest lane
  std::uint64_t observer_bytes_per_lane = 0;    ///< what observers keep for a lane
  std::uint64_t observer_bytes_per_worker = 0;  ///< what observers keep for a worker
  int lanes_wanted = 1;                         ///< lanes that should advance together
  int threads = 1;
  bool converts_weights = false;  ///< a matrix's stored type differs from the compute type
};

/// How the work is cut. block_rows decides the bits of the results and follows from the run and the
/// processor's product_row_unit(); the rest is a matter of memory and speed.
struct EnginePlan {
  ComputeType compute = ComputeType::f32;
  std::size_t block_rows = 1024;
  std::size_t group_rows = 8192;  ///< lanes go through a layer in groups of about this many rows
  int lanes_per_batch = 1;
  std::uint64_t bytes = 0;  ///< anonymous memory of one batch, all told
};

/// Rows of hidden state per matrix product at full speed (design: a product needs 1024 to 2048), or
/// the multiple of product_row_unit() below it.
inline constexpr std::size_t kFullBlockRows = 1024;
/// Queries whose attention is computed at once within a head: their rows stay in cache, and as many
/// share a panel of keys or values.
inline constexpr std::size_t kQueryBlock = 24;
/// Outputs of a weight matrix that one task computes at once.
inline constexpr std::size_t kMaxSliceOutputs = 1024;

/// Throws Error saying how much is needed if memory_bytes does not hold one lane.
EnginePlan make_engine_plan(const ModelConfig& config, ComputeType compute,
                            const EngineDemand& demand, std::uint64_t memory_bytes);

}  // namespace toplens
