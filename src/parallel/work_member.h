#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "parallel/channel.h"
#include "parallel/work_message.h"

namespace toplens {

/// The side of ranks 1 .. size - 1 of what work_leader.h describes. One thread at a time.
class WorkMember {
 public:
  /// `while_waiting` is called now and then while the leader is awaited.
  WorkMember(Channel& channel, std::function<void()> while_waiting)
      : channel_(channel), while_waiting_(std::move(while_waiting)) {}

  /// First of all: what this rank is about to run, for the leader to compare.
  void introduce(const std::string& text);
  /// The next task, from the leader; none is left otherwise.
  std::optional<WorkTask> next();
  /// Sends a task's result, the contents of its file.
  void deliver(const WorkTask& task, std::string_view contents);
  /// Says what this rank did and waits for the dismissal, which comes when all ranks are done.
  void say_farewell(const std::string& text);
  /// The leader will end the run with this message.
  void report(FailureKind kind, const std::string& message);

 private:
  Message wait_for(MessageKind kind);
  Channel& channel_;
  std::function<void()> while_waiting_;
};

}  // namespace toplens
