#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "model/checkpoint_model.h"
#include "model/engine_plan.h"
#include "model/forward_pass.h"
#include "model/layer_forward.h"
#include "parallel/thread_pool.h"

namespace toplens {

/// Final norm and output projection, in row blocks and slices of the vocabulary; whole logits never
/// exist.
class OutputHead {
 public:
  OutputHead(const CheckpointModel& model, ThreadPool& pool, const EnginePlan& plan);

  /// Negative log-likelihood in nats of every token of every lane but its first, given those before
  /// it: [lane][token - 1]. Log-sum-exp in float64. Throws Error where logits are not finite.
  std::vector<std::vector<double>> token_nll(const HiddenStates& hidden,
                                             std::span<const Lane> lanes);

  /// Gives store(position, first token id, logits) slices that together cover [length, vocab_size]
  /// of one lane. Called concurrently. Throws Error where logits are not finite.
  void logits(const HiddenStates& hidden, std::size_t lane,
              const std::function<void(std::size_t, std::size_t, std::span<const float>)>& store);

 private:
  void normalize(MatrixView<const float> rows);
  /// `place` says for messages which document and token a row of the block is.
  void project(const Projector::Store& store, const std::function<std::string(std::size_t)>& place);

  const CheckpointModel& model_;
  const ModelConfig& config_;
  ThreadPool& pool_;
  Projector projector_;
  InputMatrix normalized_;
  std::vector<float> norm_;
};

}  // namespace toplens
