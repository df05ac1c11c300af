#pragma once

#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "parallel/channel.h"
#include "parallel/work_member.h"

namespace toplens::testing {

// The ranks of a run as threads of one process, connected by queues instead of MPI.

/// Queues between ranks.
class Post {
 public:
  explicit Post(int ranks) : queues_(static_cast<std::size_t>(ranks)) {}
  int size() const { return static_cast<int>(queues_.size()); }
  void send(int to, Message message) {
    const std::lock_guard lock(mutex_);
    queues_[static_cast<std::size_t>(to)].push_back(std::move(message));
  }
  std::optional<Message> poll(int rank) {
    const std::lock_guard lock(mutex_);
    auto& queue = queues_[static_cast<std::size_t>(rank)];
    if (queue.empty()) return std::nullopt;
    Message message = std::move(queue.front());
    queue.pop_front();
    return message;
  }

 private:
  std::mutex mutex_;
  std::vector<std::deque<Message>> queues_;
};

class PostChannel : public Channel {
 public:
  PostChannel(Post& post, int rank) : post_(post), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return post_.size(); }
  void send(int to, MessageKind kind, std::string_view bytes) override {
    post_.send(to, {rank_, kind, std::string(bytes)});
  }
  std::optional<Message> poll() override { return post_.poll(rank_); }
  void close() override {}
  void abandon(int /*exit_code*/) noexcept override {}

 private:
  Post& post_;
  int rank_;
};

inline void nothing() {}

/// Ranks 1 and up, each with a thread of its own that runs `body`.
class Members {
 public:
  template <typename Body>
  Members(Post& post, const Body& body) {
    for (int rank = 1; rank < post.size(); ++rank) {
      threads_.emplace_back([&post, rank, body] {
        PostChannel channel(post, rank);
        WorkMember member(channel, nothing);
        body(rank, member);
      });
    }
  }
  ~Members() {
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  std::vector<std::thread> threads_;
};

}  // namespace toplens::testing
