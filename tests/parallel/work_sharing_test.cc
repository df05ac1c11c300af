// Leader and members as threads of one process, connected by queues instead of MPI.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <toplens/error.h>

#include <atomic>
#include <map>
#include <thread>

#include "io/atomic_file.h"
#include "parallel/work_leader.h"
#include "parallel/work_member.h"
#include "support/error_message.h"
#include "support/post_channel.h"
#include "support/scratch_directory.h"

namespace toplens {
namespace {

using ::testing::ElementsAre;
using testing::Members;
using testing::nothing;
using testing::Post;
using testing::PostChannel;
using testing::ScratchDirectory;

std::vector<WorkTask> tasks(int count) {
  std::vector<WorkTask> tasks;
  for (int number = 0; number < count; ++number) {
    tasks.push_back({number, static_cast<std::uint64_t>(2 * number), 2});
  }
  return tasks;
}

/// Large enough for several messages, and another one for each task.
std::string result_of(const WorkTask& task) {
  return std::string(static_cast<std::size_t>(task.number) * 700'000, 'a') +
         std::to_string(task.first);
}

TEST(WorkSharing, EveryTaskIsDoneOnceAndItsResultIsAFile) {
  const ScratchDirectory scratch;
  Post post(4);
  const Members members(post, [](int rank, WorkMember& member) {
    member.introduce("i" + std::to_string(rank));
    int done = 0;
    for (; const std::optional<WorkTask> task = member.next(); ++done) {
      member.deliver(*task, result_of(*task));
    }
    member.say_farewell(std::to_string(done));
  });
  PostChannel channel(post, 0);
  WorkLeader leader(channel);
  EXPECT_THAT(leader.introductions(nothing), ElementsAre("i1", "i2", "i3"));
  const auto path = [&](int task) { return scratch / std::to_string(task); };
  leader.offer(tasks(9), path);
  int done = 0;
  for (; const std::optional<WorkTask> task = leader.take(); ++done) {
    write_file_atomically(path(task->number), result_of(*task));
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const std::vector<std::string> farewells = leader.dismiss(nothing);
  ASSERT_EQ(farewells.size(), 3U);
  std::uint64_t bytes = 0;
  for (const ReceivedResult& result : leader.received()) bytes += result_of(result.task).size();
  for (const std::string& farewell : farewells) done += std::stoi(farewell);
  EXPECT_EQ(done, 9);
  EXPECT_EQ(leader.gather_cost().bytes, bytes);
  for (const WorkTask& task : tasks(9)) {
    EXPECT_EQ(read_text_file(path(task.number)), result_of(task));
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(scratch.path()), {}), 9);
}

TEST(WorkSharing, WhoIsFasterDoesMore) {
  const ScratchDirectory scratch;
  Post post(3);
  std::array<std::atomic<int>, 3> done{};
  const Members members(post, [&](int rank, WorkMember& member) {
    member.introduce("");
    while (const std::optional<WorkTask> task = member.next()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(rank == 1 ? 150 : 5));
      member.deliver(*task, "x");
      ++done[static_cast<std::size_t>(rank)];
    }
    member.say_farewell("");
  });
  PostChannel channel(post, 0);
  WorkLeader leader(channel);
  leader.introductions(nothing);
  leader.offer(tasks(20), [&](int task) { return scratch / std::to_string(task); });
  leader.dismiss(nothing);
  EXPECT_EQ(done[1] + done[2], 20);
  EXPECT_GT(done[2], 2 * done[1]);
}

TEST(WorkSharing, RoundsMayDependOnEarlierResults) {
  Post post(3);
  const Members members(post, [](int, WorkMember& member) {
    member.introduce("");
    while (const std::optional<WorkTask> task = member.next()) {
      member.deliver(*task, task->description + "!");
    }
    member.say_farewell("");
  });
  PostChannel channel(post, 0);
  WorkLeader leader(channel);
  leader.introductions(nothing);
  std::string text = "a";
  for (int round = 0; round < 5; ++round) {
    std::vector<WorkTask> some(4);
    for (int number = 0; number < 4; ++number) {
      some[static_cast<std::size_t>(number)].number = number;
      some[static_cast<std::size_t>(number)].description = text + std::to_string(number);
    }
    leader.offer_round(some);
    std::map<int, std::string> results;
    // One is the leader's own, and results may come at any time.
    if (const std::optional<WorkTask> own = leader.take()) {
      results[own->number] = own->description + "!";
    }
    while (results.size() < 4) {
      for (const ReceivedResult& result : leader.received()) {
        EXPECT_TRUE(results.emplace(result.task.number, result.bytes).second);
      }
    }
    for (const auto& [number, result] : results) {
      EXPECT_EQ(result, text + std::to_string(number) + "!");
    }
    text = results[round % 4];
  }
  EXPECT_EQ(text, "a0!1!2!3!0!");
  leader.dismiss(nothing);
}

TEST(WorkSharing, AFailingMemberEndsTheRunWithItsMessage) {
  const ScratchDirectory scratch;
  Post post(2);
  const Members members(post, [](int, WorkMember& member) {
    member.introduce("");
    const std::optional<WorkTask> first = member.next();
    member.deliver(*first, "first");
    member.next();
    member.report(FailureKind::usage, "model: no such thing");
  });
  PostChannel channel(post, 0);
  WorkLeader leader(channel);
  leader.introductions(nothing);
  leader.offer(tasks(3), [&](int task) { return scratch / std::to_string(task); });
  try {
    leader.dismiss(nothing);
    FAIL() << "no failure";
  } catch (const MemberFailed& failed) {
    EXPECT_EQ(failed.failure().kind, FailureKind::usage);
    EXPECT_EQ(failed.what(), "rank 1 on " + host_name() + ": model: no such thing");
  }
  EXPECT_THROW(leader.check(), MemberFailed);
  EXPECT_THROW(leader.take(), MemberFailed);
  EXPECT_EQ(read_text_file(scratch / "0"), "first");  // what was finished stays
}

TEST(WorkSharing, AResultThatCannotBeWrittenIsTheLeadersError) {
  const ScratchDirectory scratch;
  Post post(2);
  const Members members(post, [](int, WorkMember& member) {
    member.introduce("");
    member.deliver(*member.next(), "first");
  });
  PostChannel channel(post, 0);
  WorkLeader leader(channel);
  leader.introductions(nothing);
  leader.offer(tasks(1), [&](int) { return scratch / "absent" / "0"; });
  EXPECT_THAT(testing::error_message([&] { leader.dismiss(nothing); }),
              ::testing::HasSubstr("absent"));
}

TEST(WorkSharing, AResultThatBreaksOffLeavesNothing) {
  const ScratchDirectory scratch;
  Post post(2);
  {
    PostChannel member(post, 1);
    member.send(0, MessageKind::introduction, "");
    member.send(0, MessageKind::request, "");
    PostChannel channel(post, 0);
    WorkLeader leader(channel);
    leader.introductions(nothing);
    leader.offer(tasks(1), [&](int task) { return scratch / std::to_string(task); });
    while (!post.poll(1)) std::this_thread::yield();  // the task
    member.send(0, MessageKind::result_begins, encode(ResultHeader{0, 100}));
    member.send(0, MessageKind::result_bytes, "half");
    while (leader.gather_cost().bytes == 0) std::this_thread::yield();
    EXPECT_FALSE(scratch.empty());
  }
  EXPECT_TRUE(scratch.empty());
}

TEST(WorkSharing, AStrangeResultIsAnError) {
  const ScratchDirectory scratch;
  Post post(2);
  PostChannel member(post, 1);
  member.send(0, MessageKind::introduction, "");
  member.send(0, MessageKind::result_begins, encode(ResultHeader{5, 100}));
  PostChannel channel(post, 0);
  WorkLeader leader(channel);
  EXPECT_THAT(testing::error_message([&] { leader.dismiss(nothing); }),
              ::testing::HasSubstr("rank 1 sent a result of task 5, which it was not given"));
}

TEST(WorkSharing, AloneTheLeaderDoesAll) {
  LoneChannel channel;
  WorkLeader leader(channel);
  EXPECT_TRUE(leader.introductions(nothing).empty());
  leader.offer(tasks(3), [](int) -> std::filesystem::path { throw Error("no member"); });
  std::vector<int> numbers;
  while (const std::optional<WorkTask> task = leader.take()) numbers.push_back(task->number);
  EXPECT_THAT(numbers, ElementsAre(0, 1, 2));
  EXPECT_TRUE(leader.dismiss(nothing).empty());
}

}  // namespace
}  // namespace toplens
