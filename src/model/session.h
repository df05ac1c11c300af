#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include <toplens/observer.h>

#include "model/checkpoint_model.h"
#include "model/engine_plan.h"
#include "model/forward_pass.h"
#include "model/output_head.h"
#include "parallel/thread_pool.h"

namespace toplens {

/// What every command that runs a model shares: the checkpoint, the threads, the memory budget, the
/// arithmetic.
class ModelSession {
 public:
  /// `threads` 0: as many as this process may use.
  ModelSession(const std::filesystem::path& checkpoint, int threads, std::uint64_t memory_bytes,
               ComputeMode compute);

  const CheckpointModel& model() const { return model_; }
  const ModelConfig& config() const { return model_.config(); }
  ThreadPool& pool() { return pool_; }
  ComputeType compute() const { return compute_; }
  std::uint64_t memory_bytes() const { return memory_bytes_; }

  /// The plan for lanes of these lengths; `demand` needs only what observers keep and lanes_wanted.
  EnginePlan plan(std::span<const std::size_t> lane_lengths, EngineDemand demand) const;

  /// Operations per second of the matrix products, measured on the first layer's weights in a few
  /// dozen milliseconds.
  double product_rate(const EnginePlan& plan);

 private:
  CheckpointModel model_;
  ThreadPool pool_;
  std::uint64_t memory_bytes_;
  ComputeType compute_;
};

/// Attention rows that are kept for these queries of a lane of `length` tokens: whole query blocks.
int kept_queries(QuerySelection queries, int length);
/// The same for all that the observers see.
int kept_queries(std::span<AttentionObserver* const> observers, int length);

}  // namespace toplens
