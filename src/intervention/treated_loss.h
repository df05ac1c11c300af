#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/lane.h"
#include "model/session.h"
#include "parallel/progress.h"

namespace toplens {

/// A document as the model sees it, and the part of it that is scored.
struct ScoredWindow {
  std::vector<std::int32_t> token_ids;
  std::size_t first_target = 1;  ///< targets are the tokens from here to the end; >= 1
  std::uint64_t document = 0;    ///< keys the random rankings

  std::size_t num_targets() const { return token_ids.size() - first_target; }
};

/// Loss of one window under one treatment.
struct WindowLoss {
  double nll_nats_per_token = 0;        ///< mean over the window's targets
  std::uint64_t rows_without_mass = 0;  ///< HiddenStates::rows_without_mass
};

/// Told how a wave of lanes comes along.
class WaveListener : public ProgressListener {
 public:
  /// A wave begins: so many units of one layer and one lane, each standing for so many tokens.
  virtual void start(std::uint64_t units, double tokens_per_unit) = 0;
};

class LossSharing;

/// Runs windows under treatments as lanes: as many at once as the memory budget holds, weights read
/// once for each batch of lanes, and lanes that begin to differ at a later layer forked there.
/// Results do not depend on the batches, on which treatments share a wave, nor on who computes
/// them.
class TreatedLoss {
 public:
  /// `windows`, at least one, are not empty. The arithmetic is that of an untreated run over them.
  /// `lanes_at_once` bounds the lanes of a batch. With `sharing`, other ranks compute lanes too.
  /// Throws Error where memory does not hold one lane.
  TreatedLoss(ModelSession& session, std::vector<ScoredWindow> windows, int lanes_at_once = 64,
              LossSharing* sharing = nullptr);
  /// Of some of the windows of a calculation that has `total_tokens` in all its windows: losses
  /// have the bits that they have there.
  static TreatedLoss of_share(ModelSession& session, std::vector<ScoredWindow> windows,
                              int lanes_at_once, std::uint64_t total_tokens);

  std::span<const ScoredWindow> windows() const { return windows_; }
  const ModelConfig& config() const { return session_.config(); }
  /// Processes that compute.
  int ranks() const;

  /// Losses [treatment, window]; nullptr is the untreated model.
  std::vector<std::vector<WindowLoss>> measure(std::span<const Treatment* const> treatments,
                                               WaveListener* listener = nullptr);

  /// Layers computed so far by this process, counted for each lane.
  std::uint64_t layer_lane_forwards() const { return pass_.layer_lane_forwards(); }

 private:
  struct Job {
    std::size_t treatment, window;
  };
  struct Batch {
    std::vector<Lane> lanes;
    std::vector<Job> jobs;  ///< one for each lane; treatment kSourceOnly: nobody asked for it
  };
  static constexpr std::size_t kSourceOnly = static_cast<std::size_t>(-1);

  struct WindowRange {
    std::size_t first, count;
  };
  TreatedLoss(ModelSession& session, std::vector<ScoredWindow> windows, const EnginePlan& plan,
              LossSharing* sharing);
  /// Of those windows alone.
  std::vector<std::vector<WindowLoss>> measure_here(std::span<const Treatment* const> treatments,
                                                    WindowRange range, WaveListener* listener);
  std::vector<Batch> make_batches(std::span<const Treatment* const> treatments,
                                  WindowRange range) const;
  Batch make_batch(std::span<const Treatment* const> treatments, std::vector<Job> jobs) const;

  ModelSession& session_;
  std::vector<ScoredWindow> windows_;
  EnginePlan plan_;
  ForwardPass pass_;
  OutputHead head_;
  LossSharing* sharing_;
};

/// Tokens of all windows.
std::uint64_t count_tokens(std::span<const ScoredWindow> windows);

}  // namespace toplens
