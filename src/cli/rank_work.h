#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "parallel/channel.h"
#include "parallel/work_leader.h"
#include "parallel/work_member.h"
#include "results/run_manifest.h"

namespace toplens {

/// Rank 0: waits for the others' introductions (rank_texts.h) and compares them with its own. All
/// ranks, 0 first. Throws Error where one would run something else.
std::vector<RankRecord> meet_members(WorkLeader& leader, const std::string& own_introduction);

/// Another rank's failure as this rank's would be: UsageError, Interrupted or Error.
[[noreturn]] void throw_failure(const MemberFailure& failure);

/// This process failed and rank 0 knows why: it ends the run.
class FailureReported : public std::runtime_error {
 public:
  FailureReported() : std::runtime_error("failed; rank 0 says why") {}
};

/// Another rank than 0: does `work` and closes the channel. Reports what `work` throws to rank 0
/// and throws FailureReported.
void assist_rank_0(Channel& channel, const std::function<void(WorkMember&)>& work);

}  // namespace toplens
