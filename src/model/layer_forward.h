#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <toplens/array_view.h>
#include <toplens/observer.h>

#include "kernels/matmul.h"
#include "model/attention.h"
#include "model/checkpoint_model.h"
#include "model/engine_plan.h"
#include "model/lane.h"
#include "model/rope_table.h"
#include "parallel/thread_pool.h"

namespace toplens {

/// Lanes that go through a layer together: their rows of the residual stream, one lane after the
/// other.
struct LaneGroup {
  int first_lane = 0;
  std::span<const Lane> lanes;
  MatrixView<float> residual;  ///< [rows of all lanes, hidden_size]
};

/// Products of `input` with weight matrices, cut into tasks of one row block and one slice of
/// outputs. `store` gets (row, first output, values) for each row, concurrently for different
/// tasks.
class Projector {
 public:
  using Store = std::function<void(std::size_t, std::size_t, std::span<const float>)>;
  /// Combines a row of the gate slice with the row of the up slice, in place of the former.
  using Gate = void (*)(std::span<const float>, std::span<const float>, std::span<float>);
  struct Output {
    const WeightMatrix* weights = nullptr;
    Store store;
  };

  Projector(ThreadPool& pool, ComputeType compute);
  void run(const InputMatrix& input, std::span<const Output> outputs);
  void run_gated(const InputMatrix& input, const WeightMatrix& gate, const WeightMatrix& up,
                 Gate activation, const Store& store);

 private:
  struct Worker {
    BlockMultiplier multiplier;
    std::vector<float> product, second_product;
  };
  ThreadPool& pool_;
  std::vector<Worker> workers_;
};

/// One decoder layer over groups of lanes. Holds the buffers, which are reused from layer to layer.
class LayerForward {
 public:
  LayerForward(const CheckpointModel& model, ThreadPool& pool, const EnginePlan& plan,
               std::span<const Lane> lanes, std::span<AttentionObserver* const> observers);

  /// Advances the group's residual stream through layer `layer` in place. Throws Error naming the
  /// layer, the document and the position where activations are not finite.
  void run(int layer, const LayerWeights& weights, const LaneGroup& group);

  /// Treated attention rows so far that no weight was left of, by lane (RowTreatment).
  std::span<const std::uint64_t> rows_without_mass() const { return rows_without_mass_; }

 private:
  void attention(int layer, const LayerWeights& weights, const LaneGroup& group);
  void mlp(const LayerWeights& weights, const LaneGroup& group);
  void normalize_into(InputMatrix& input, MatrixView<const float> rows,
                      std::span<const float> norm);
  /// residual += projection of `input`, through the norm `post` where there is one.
  void add_projection(const InputMatrix& input, const WeightMatrix& weights,
                      std::span<const float> post, MatrixView<float> residual);

  const CheckpointModel& model_;
  const ModelConfig& config_;
  ThreadPool& pool_;
  RopeTable rope_;
  Projector projector_;
  InputMatrix normalized_, attended_, activated_;
  std::vector<float> query_, key_, value_, delta_;
  std::vector<HeadAttention> heads_;  ///< one for each worker
  std::vector<std::uint64_t> rows_without_mass_;
};

/// Calls task(first, count, worker) over ranges of rows.
void for_row_ranges(ThreadPool& pool, std::size_t rows,
                    const std::function<void(std::size_t, std::size_t, int)>& task);

/// Throws Error naming the place if a row of the residual stream is not finite; `where` begins the
/// message.
void check_finite(const CheckpointModel& model, ThreadPool& pool, int layer, const LaneGroup& group,
                  const std::string& where);

}  // namespace toplens
