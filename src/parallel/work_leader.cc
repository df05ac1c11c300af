#include "parallel/work_leader.h"

#include <chrono>
#include <iterator>
#include <utility>

#include <fmt/format.h>
#include <toplens/error.h>

namespace toplens {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kCallInterval{100};

}  // namespace

WorkLeader::WorkLeader(Channel& channel) : channel_(channel) {
  if (channel_.size() > 1) thread_ = std::thread([this] { answer_members(); });
}

WorkLeader::~WorkLeader() { stop(); }

void WorkLeader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

std::vector<std::string> WorkLeader::introductions(const std::function<void()>& while_waiting) {
  wait_for(introductions_, while_waiting);
  return take_texts(introductions_);
}

void WorkLeader::offer(std::vector<WorkTask> tasks, PathOfResult path_of_result) {
  offer(std::move(tasks), std::move(path_of_result), false);
}

void WorkLeader::offer_round(std::vector<WorkTask> tasks) {
  offer(std::move(tasks), nullptr, true);
}

void WorkLeader::offer(std::vector<WorkTask> tasks, PathOfResult path_of_result, bool more_rounds) {
  const std::lock_guard lock(mutex_);
  check_locked();
  tasks_.assign(std::move_iterator(tasks.begin()), std::move_iterator(tasks.end()));
  path_of_result_ = std::move(path_of_result);
  more_rounds_ = more_rounds;
  offered_ = true;
}

std::optional<WorkTask> WorkLeader::take() {
  const std::lock_guard lock(mutex_);
  check_locked();
  if (tasks_.empty()) return std::nullopt;
  WorkTask task = std::move(tasks_.front());
  tasks_.pop_front();
  return task;
}

std::vector<ReceivedResult> WorkLeader::received() {
  const std::lock_guard lock(mutex_);
  check_locked();
  return std::exchange(received_, {});
}

std::vector<std::string> WorkLeader::dismiss(const std::function<void()>& while_waiting) {
  {
    const std::lock_guard lock(mutex_);
    offered_ = true;
    more_rounds_ = false;
  }
  wait_for(farewells_, while_waiting);
  stop();
  for (int member = 1; member < channel_.size(); ++member) {
    channel_.send(member, MessageKind::dismissal, "");
  }
  return take_texts(farewells_);
}

void WorkLeader::check() {
  const std::lock_guard lock(mutex_);
  check_locked();
}

GatherCost WorkLeader::gather_cost() const {
  const std::lock_guard lock(mutex_);
  return cost_;
}

void WorkLeader::check_locked() const {
  if (failure_) throw MemberFailed(*failure_);
  if (error_) std::rethrow_exception(error_);
}

void WorkLeader::wait_for(std::map<int, std::string>& texts,
                          const std::function<void()>& while_waiting) {
  const auto members = static_cast<std::size_t>(channel_.size() - 1);
  std::unique_lock lock(mutex_);
  while (true) {
    check_locked();
    if (texts.size() == members) return;
    changed_.wait_for(lock, kCallInterval);
    lock.unlock();
    while_waiting();
    lock.lock();
  }
}

std::vector<std::string> WorkLeader::take_texts(std::map<int, std::string>& texts) {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> in_order;
  for (auto& [rank, text] : texts) in_order.push_back(std::move(text));
  texts.clear();
  return in_order;
}

void WorkLeader::answer_members() {
  try {
    while (true) {
      {
        const std::lock_guard lock(mutex_);
        if (stop_) return;
        while (!waiting_.empty() && has_answer()) {
          answer_request(waiting_.front());
          waiting_.pop_front();
        }
      }
      const Clock::time_point start = Clock::now();
      const std::optional<Message> message = channel_.poll();
      if (!message) {
        std::this_thread::sleep_for(kPollInterval);
        continue;
      }
      handle(*message);
      if (message->kind == MessageKind::result_begins ||
          message->kind == MessageKind::result_bytes) {
        const std::lock_guard lock(mutex_);
        cost_.bytes += message->kind == MessageKind::result_bytes ? message->bytes.size() : 0;
        cost_.seconds += std::chrono::duration<double>(Clock::now() - start).count();
      }
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    error_ = std::current_exception();
    changed_.notify_all();
  }
}

void WorkLeader::handle(const Message& message) {
  switch (message.kind) {
    case MessageKind::request: {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(message.from);
      return;
    }
    case MessageKind::result_begins:
      return begin_transfer(message);
    case MessageKind::result_bytes:
      return continue_transfer(message.from, message.bytes);
    case MessageKind::introduction:
    case MessageKind::farewell: {
      const std::lock_guard lock(mutex_);
      auto& texts = message.kind == MessageKind::introduction ? introductions_ : farewells_;
      texts[message.from] = message.bytes;
      changed_.notify_all();
      return;
    }
    case MessageKind::failure: {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = decode_failure(message.from, message.bytes);
      changed_.notify_all();
      return;
    }
    case MessageKind::task:
    case MessageKind::dismissal:
      break;
  }
  throw Error(fmt::format("rank {} sent a message of kind {}, which only rank 0 sends",
                          message.from, static_cast<int>(message.kind)));
}

// With mutex_ locked.
bool WorkLeader::has_answer() const { return offered_ && (!tasks_.empty() || !more_rounds_); }

// With mutex_ locked.
void WorkLeader::answer_request(int member) {
  std::optional<WorkTask> task;
  // After a failure the run ends: what is left would be thrown away.
  if (!tasks_.empty() && !failure_) {
    task = tasks_.front();
    tasks_.pop_front();
    in_work_[member] = *task;
  }
  channel_.send(member, MessageKind::task, encode(task));
}

void WorkLeader::begin_transfer(const Message& message) {
  const ResultHeader header = decode_result_header(message.bytes);
  Transfer transfer;
  {
    const std::lock_guard lock(mutex_);
    const auto found = in_work_.find(message.from);
    if (found == in_work_.end() || found->second.number != header.task) {
      throw Error(fmt::format("rank {} sent a result of task {}, which it was not given",
                              message.from, header.task));
    }
    transfer.task = found->second;
    if (path_of_result_)
      transfer.file = std::make_unique<TemporaryFile>(path_of_result_(header.task));
  }
  transfer.bytes = header.bytes;
  transfers_.insert_or_assign(message.from, std::move(transfer));
  if (header.bytes == 0) finish_transfer(message.from);
}

void WorkLeader::continue_transfer(int member, std::string_view bytes) {
  const auto found = transfers_.find(member);
  if (found == transfers_.end() || bytes.size() > found->second.bytes - found->second.arrived) {
    throw Error(fmt::format("rank {} sent more than it announced", member));
  }
  Transfer& transfer = found->second;
  if (transfer.file) {
    transfer.file->write(transfer.arrived, bytes.data(), bytes.size());
  } else {
    transfer.in_memory += bytes;
  }
  transfer.arrived += bytes.size();
  if (transfer.arrived == transfer.bytes) finish_transfer(member);
}

void WorkLeader::finish_transfer(int member) {
  const auto found = transfers_.find(member);
  Transfer& transfer = found->second;
  if (transfer.file) transfer.file->publish();
  const std::lock_guard lock(mutex_);
  received_.push_back({std::move(transfer.task), std::move(transfer.in_memory)});
  in_work_.erase(member);
  transfers_.erase(found);
  changed_.notify_all();
}

}  // namespace toplens
