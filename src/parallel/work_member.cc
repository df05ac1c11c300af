#include "parallel/work_member.h"

#include <thread>

#include <fmt/format.h>
#include <toplens/error.h>

namespace toplens {
namespace {

constexpr std::size_t kMessageBytes = std::size_t{1} << 20;

}  // namespace

void WorkMember::introduce(const std::string& text) {
  channel_.send(0, MessageKind::introduction, text);
}

std::optional<WorkTask> WorkMember::next() {
  channel_.send(0, MessageKind::request, "");
  return decode_task(wait_for(MessageKind::task).bytes);
}

void WorkMember::deliver(const WorkTask& task, std::string_view contents) {
  channel_.send(0, MessageKind::result_begins, encode(ResultHeader{task.number, contents.size()}));
  for (std::size_t begin = 0; begin < contents.size(); begin += kMessageBytes) {
    channel_.send(0, MessageKind::result_bytes, contents.substr(begin, kMessageBytes));
  }
}

void WorkMember::say_farewell(const std::string& text) {
  channel_.send(0, MessageKind::farewell, text);
  wait_for(MessageKind::dismissal);
}

void WorkMember::report(FailureKind kind, const std::string& message) {
  MemberFailure failure;
  failure.kind = kind;
  failure.host = host_name();
  failure.message = message;
  channel_.send(0, MessageKind::failure, encode(failure));
}

Message WorkMember::wait_for(MessageKind kind) {
  while (true) {
    if (std::optional<Message> message = channel_.poll()) {
      if (message->kind == kind) return *std::move(message);
      throw Error(fmt::format("rank {} sent a message of kind {} instead of {}", message->from,
                              static_cast<int>(message->kind), static_cast<int>(kind)));
    }
    while_waiting_();
    std::this_thread::sleep_for(kPollInterval);
  }
}

}  // namespace toplens
