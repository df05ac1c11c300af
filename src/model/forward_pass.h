#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <toplens/array_view.h>
#include <toplens/observer.h>

#include "model/checkpoint_model.h"
#include "model/engine_plan.h"
#include "model/lane.h"
#include "model/layer_forward.h"
#include "parallel/progress.h"
#include "parallel/thread_pool.h"

namespace toplens {

/// The residual streams of lanes, one after the other: [tokens of all lanes, hidden_size], float32.
class HiddenStates {
 public:
  HiddenStates(std::span<const Lane> lanes, std::size_t hidden_size);
  std::size_t num_lanes() const { return lengths_.size(); }
  std::size_t rows() const { return first_rows_.back(); }
  std::size_t first_row(std::size_t lane) const { return first_rows_[lane]; }
  MatrixView<float> lane(std::size_t index) { return range(index, 1); }
  MatrixView<const float> lane(std::size_t index) const {
    return {values_.data() + first_rows_[index] * columns_, lengths_[index], columns_};
  }
  /// Rows [first, first + count) of all lanes together.
  MatrixView<const float> rows(std::size_t first, std::size_t count) const {
    return {values_.data() + first * columns_, count, columns_};
  }
  /// Attention rows of a treated lane, over all layers and heads, that no weight was left of
  /// (theory.md (30), sum 0).
  std::uint64_t rows_without_mass(std::size_t lane) const { return rows_without_mass_[lane]; }
  void set_rows_without_mass(std::span<const std::uint64_t> counts) {
    rows_without_mass_.assign(counts.begin(), counts.end());
  }
  /// The lanes [first, first + count) as one matrix.
  MatrixView<float> range(std::size_t first, std::size_t count) {
    return {values_.data() + first_rows_[first] * columns_,
            first_rows_[first + count] - first_rows_[first], columns_};
  }

 private:
  std::size_t columns_;
  std::vector<std::size_t> lengths_, first_rows_;
  std::vector<float> values_;
  std::vector<std::uint64_t> rows_without_mass_;
};

/// The engine: all lanes through layer 0, then through layer 1, ..., so that every weight is read
/// once for all of them. Lanes must not exceed the plan's lanes_per_batch in number for its memory
/// figure to hold.
class ForwardPass {
 public:
  ForwardPass(const CheckpointModel& model, ThreadPool& pool, const EnginePlan& plan);

  /// Runs the lanes through all layers and shows each head to the observers. Lanes that fork come
  /// in the order of Lane::first_layer(), after all others; observers see them from that layer on.
  /// Throws Error for token ids outside the vocabulary and for activations that are not finite.
  HiddenStates run(std::span<const Lane> lanes, std::span<AttentionObserver* const> observers,
                   ProgressListener* progress = nullptr);

  /// Layers computed so far, counted for each lane: what a resumed run saves.
  std::uint64_t layer_lane_forwards() const { return layer_lane_forwards_; }

 private:
  HiddenStates embed(std::span<const Lane> lanes) const;
  std::vector<LaneGroup> make_groups(std::span<const Lane> lanes, HiddenStates& hidden) const;
  static void fork_lanes(std::span<const Lane> lanes, std::size_t first, std::size_t end,
                         HiddenStates& hidden);

  const CheckpointModel& model_;
  ThreadPool& pool_;
  EnginePlan plan_;
  std::uint64_t layer_lane_forwards_ = 0;
};

}  // namespace toplens
