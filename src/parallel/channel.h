#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace toplens {

/// What a message between the processes of a run is about; work_leader.h has the protocol.
enum class MessageKind {
  introduction = 1,  ///< member: what it is about to run
  request,           ///< member: asks for a task
  task,              ///< leader: the task, or that there is none
  result_begins,     ///< member: number of a task's result and its size
  result_bytes,      ///< member: the next bytes of it
  failure,           ///< member: why it cannot go on
  farewell,          ///< member: what it did
  dismissal,         ///< leader: all is done
};

struct Message {
  int from = 0;
  MessageKind kind = MessageKind::request;
  std::string bytes;
};

/// How the processes of a run (ranks 0 .. size - 1, 0 leads) speak with each other. Messages of one
/// rank to another arrive whole and in order. Calls come from one thread at a time.
class Channel {
 public:
  virtual ~Channel() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Returns when `bytes` may be changed again. Throws Error where the network failed.
  virtual void send(int to, MessageKind kind, std::string_view bytes) = 0;
  /// The next message that has arrived, if any.
  virtual std::optional<Message> poll() = 0;
  /// All ranks together, once nothing is left to say; poll and send are over then.
  virtual void close() = 0;
  /// After a failure: ends the other ranks (rank 0 at once; others wait first for rank 0 to do so,
  /// which says why). Does nothing after close().
  virtual void abandon(int exit_code) noexcept = 0;
};

/// A run of one process.
class LoneChannel : public Channel {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void send(int /*to*/, MessageKind /*kind*/, std::string_view /*bytes*/) override {}
  std::optional<Message> poll() override { return std::nullopt; }
  void close() override {}
  void abandon(int /*exit_code*/) noexcept override {}
};

/// Between two polls of who waits: MPI's own waiting would take a core from those who compute.
inline constexpr std::chrono::milliseconds kPollInterval{1};

/// Name of this machine on its network.
std::string host_name();

}  // namespace toplens
