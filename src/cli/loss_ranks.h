#pragma once

#include <optional>

#include "cli/intervention_options.h"
#include "cli/rank_work.h"
#include "intervention/loss_sharing.h"
#include "model/session.h"
#include "parallel/channel.h"
#include "parallel/work_leader.h"

namespace toplens {

/// The ranks of a run that measures losses, as rank 0 has them: it reads the text and decides what
/// is measured, all compute. In a run of one process it does nothing.
class LossRanks {
 public:
  explicit LossRanks(Channel& channel) : channel_(channel), leader_(channel) {}

  /// Waits for the others and compares versions and models. Throws Error where one differs.
  void meet(ModelSession& session);
  /// For TreatedLoss; nullptr in a run of one process.
  LossSharing* sharing() { return sharing_ ? &*sharing_ : nullptr; }
  /// Runs `action`; another rank's failure is thrown as this one's would be.
  template <typename Action>
  auto guard(const Action& action) {
    try {
      return action();
    } catch (const MemberFailed& failed) {
      throw_failure(failed.failure());
    }
  }
  /// The others end; closes the channel.
  void dismiss();

 private:
  Channel& channel_;
  WorkLeader leader_;
  std::optional<LossSharing> sharing_;
};

/// Computes lanes for rank 0 as one of the other ranks, until none are left; closes the channel.
/// Throws FailureReported.
void assist_with_losses(const LossRunArguments& arguments, Channel& channel);

}  // namespace toplens
