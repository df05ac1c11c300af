#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "intervention/treated_loss.h"
#include "parallel/work_leader.h"

namespace toplens {

/// Windows and treatments of a wave, each a range.
struct WaveShare {
  std::size_t first_treatment = 0, treatments = 0;
  std::size_t first_window = 0, windows = 0;
};

/// Cuts a wave into rectangles, several for each rank where there is enough, so that a fast rank
/// takes more; windows are kept together with their treatments as far as that allows, since lanes
/// of one window share their untreated layers.
std::vector<WaveShare> cut_wave(std::size_t treatments, std::size_t windows, int ranks);

/// Rank 0's side of losses that several ranks compute: each wave of TreatedLoss::measure() is a
/// round of tasks (loss_task.h).
class LossSharing {
 public:
  /// Losses [treatment, window] of a share, computed here. `progress` may be told how far it is, in
  /// any units.
  using MeasureHere = std::function<std::vector<std::vector<WindowLoss>>(
      std::span<const Treatment* const> treatments, const WaveShare& share,
      ProgressListener& progress)>;

  LossSharing(WorkLeader& leader, int ranks) : leader_(leader), ranks_(ranks) {}

  int ranks() const { return ranks_; }
  /// Losses [treatment, window], whoever computed them. `treatments` in an order in which
  /// neighbours go well together. Throws MemberFailed where another rank failed.
  std::vector<std::vector<WindowLoss>> measure(std::span<const Treatment* const> treatments,
                                               std::span<const ScoredWindow> windows,
                                               const MeasureHere& measure_here,
                                               WaveListener* listener);

 private:
  WorkLeader& leader_;
  int ranks_;
};

}  // namespace toplens
