#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "io/temporary_file.h"
#include "parallel/channel.h"
#include "parallel/work_message.h"

namespace toplens {

/// A member cannot go on, and so the run ends.
class MemberFailed : public std::runtime_error {
 public:
  explicit MemberFailed(MemberFailure failure)
      : std::runtime_error(failure.text()), failure_(std::move(failure)) {}
  const MemberFailure& failure() const { return failure_; }

 private:
  MemberFailure failure_;
};

/// A task whose result has arrived, with the result where it did not become a file.
struct ReceivedResult {
  WorkTask task;
  std::string bytes;
};

/// What the members' results cost the leader.
struct GatherCost {
  std::uint64_t bytes = 0;
  double seconds = 0;  ///< receiving and writing, not waiting
};

/// Rank 0's side of a run on several ranks, with WorkMember on the others. Every member introduces
/// itself, then asks for one task after the other (so a fast one does more of them) and sends each
/// result, which becomes a file (whole or not at all) or is handed over; then it says what it did
/// and waits to be dismissed. A thread of the leader's answers while the leader works on tasks of
/// its own; until dismiss() returns, that thread alone uses the channel. With a LoneChannel there
/// is no thread.
class WorkLeader {
 public:
  using PathOfResult = std::function<std::filesystem::path(int task)>;

  explicit WorkLeader(Channel& channel);
  /// stop()
  ~WorkLeader();
  WorkLeader(const WorkLeader&) = delete;
  WorkLeader& operator=(const WorkLeader&) = delete;

  /// Waits for all members: what each says about itself, rank 1 first.
  std::vector<std::string> introductions(const std::function<void()>& while_waiting);
  /// The tasks that are to be done, handed out in this order, and where members' results go.
  void offer(std::vector<WorkTask> tasks, PathOfResult path_of_result);
  /// Some tasks of several rounds, of which later ones may depend on the results of earlier ones;
  /// results stay in memory. Members wait for the next round until dismiss().
  void offer_round(std::vector<WorkTask> tasks);
  /// The leader's own next task; none are left otherwise.
  std::optional<WorkTask> take();
  /// What arrived since the last call.
  std::vector<ReceivedResult> received();
  /// Waits until all results are there: what each member says it did, rank 1 first. Then dismisses
  /// the members. `while_waiting` is called now and then.
  std::vector<std::string> dismiss(const std::function<void()>& while_waiting);
  /// Stops answering: no further result is written, and members that were not dismissed wait for
  /// Channel::abandon().
  void stop();
  /// Throws MemberFailed where a member failed and Error where a result could not be written; so do
  /// the functions above.
  void check();
  GatherCost gather_cost() const;

 private:
  struct Transfer {
    WorkTask task;
    std::uint64_t bytes = 0, arrived = 0;
    std::unique_ptr<TemporaryFile> file;  ///< none: it stays in memory
    std::string in_memory = {};
  };

  void offer(std::vector<WorkTask> tasks, PathOfResult path_of_result, bool more_rounds);
  void answer_members();
  void handle(const Message& message);
  bool has_answer() const;
  void answer_request(int member);
  void begin_transfer(const Message& message);
  void continue_transfer(int member, std::string_view bytes);
  void finish_transfer(int member);
  void wait_for(std::map<int, std::string>& texts, const std::function<void()>& while_waiting);
  void check_locked() const;
  std::vector<std::string> take_texts(std::map<int, std::string>& texts);

  Channel& channel_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  bool stop_ = false, offered_ = false, more_rounds_ = false;
  std::deque<WorkTask> tasks_;
  PathOfResult path_of_result_;      ///< none: results stay in memory
  std::map<int, WorkTask> in_work_;  ///< by member
  std::deque<int> waiting_;          ///< members that asked before there was an offer for them
  std::vector<ReceivedResult> received_;
  std::map<int, std::string> introductions_, farewells_;
  std::optional<MemberFailure> failure_;  ///< the first
  std::exception_ptr error_;
  GatherCost cost_;
  // Of the thread alone.
  std::map<int, Transfer> transfers_;
  std::thread thread_;
};

}  // namespace toplens
