#include "cli/rank_work.h"

#include <new>

#include <fmt/format.h>
#include <toplens/error.h>

#include "cli/interrupt.h"
#include "cli/rank_texts.h"
#include "cli/usage_error.h"

namespace toplens {

std::vector<RankRecord> meet_members(WorkLeader& leader, const std::string& own_introduction) {
  std::vector<RankRecord> ranks = {introduced_rank(own_introduction)};
  for (const std::string& text : leader.introductions(check_interrupt)) {
    ranks.push_back(introduced_rank(text));
    const std::string difference = introduction_difference(text, own_introduction);
    if (difference.empty()) continue;
    throw Error(fmt::format("rank {} on {}: runs something else than rank 0: {}", ranks.size() - 1,
                            ranks.back().host, difference));
  }
  return ranks;
}

void throw_failure(const MemberFailure& failure) {
  switch (failure.kind) {
    case FailureKind::usage:
      throw UsageError(failure.text());
    case FailureKind::interrupted:
      throw Interrupted();
    case FailureKind::error:
      break;
  }
  throw Error(failure.text());
}

void assist_rank_0(Channel& channel, const std::function<void(WorkMember&)>& work) {
  WorkMember member(channel, check_interrupt);
  const auto fail = [&](FailureKind kind, const std::string& message) {
    member.report(kind, message);
    throw FailureReported();
  };
  try {
    work(member);
  } catch (const UsageError& error) {
    fail(FailureKind::usage, error.what());
  } catch (const Interrupted&) {
    fail(FailureKind::interrupted, "interrupted");
  } catch (const std::bad_alloc&) {
    fail(FailureKind::error, "out of memory; try a smaller --memory or fewer ranks per machine");
  } catch (const std::exception& error) {
    fail(FailureKind::error, error.what());
  }
  channel.close();
}

}  // namespace toplens
