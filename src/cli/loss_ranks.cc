#include "cli/loss_ranks.h"

#include <utility>
#include <vector>

#include "cli/interrupt.h"
#include "cli/rank_texts.h"
#include "intervention/loss_task.h"
#include "results/digest.h"

namespace toplens {
namespace {

/// What decides a lane's loss besides its task, which rank 0 sends.
std::string introduction_of(ModelSession& session) {
  const CheckpointDigests digests =
      digest_checkpoint(session.model().directory(), session.model().tensors().files(), {});
  return introduction_text(session.pool().size(), {{"compute", name(session.compute())},
                                                   {"model", digests_json(digests)}});
}

/// Of ranks that print nothing.
class QuietWave : public WaveListener {
 public:
  void start(std::uint64_t /*units*/, double /*tokens_per_unit*/) override {}
  void advance(std::uint64_t /*done*/, std::uint64_t /*total*/) override { check_interrupt(); }
};

}  // namespace

void LossRanks::meet(ModelSession& session) {
  if (channel_.size() == 1) return;
  guard([&] { meet_members(leader_, introduction_of(session)); });
  sharing_.emplace(leader_, channel_.size());
}

void LossRanks::dismiss() {
  if (channel_.size() > 1) guard([&] { leader_.dismiss(check_interrupt); });
  channel_.close();
}

void assist_with_losses(const LossRunArguments& arguments, Channel& channel) {
  assist_rank_0(channel, [&](WorkMember& member) {
    ModelSession session = arguments.engine.open();
    member.introduce(introduction_of(session));
    QuietWave listener;
    while (const std::optional<WorkTask> task = member.next()) {
      LossTask share = decode_loss_task(task->description, session.config());
      std::vector<const Treatment*> treatments;
      for (const std::optional<Treatment>& one : share.treatments) {
        treatments.push_back(one ? &*one : nullptr);
      }
      TreatedLoss loss = TreatedLoss::of_share(session, std::move(share.windows), arguments.lanes,
                                               share.total_tokens);
      member.deliver(*task, encode_losses(loss.measure(treatments, &listener)));
    }
    member.say_farewell("");
  });
}

}  // namespace toplens
