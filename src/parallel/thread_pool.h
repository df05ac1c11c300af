#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace toplens {

/// A fixed set of workers. The calling thread is worker 0, so a pool of one thread starts none.
/// Passed to whoever computes, never global.
class ThreadPool {
 public:
  /// `threads` >= 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;

  /// Calls task(index, worker) for every index in [0, count), each once, handed out in increasing
  /// order. Returns when all are done. If tasks throw, no further ones start and the exception of
  /// the lowest index that threw is rethrown here. Not reentrant: a task must not call
  /// parallel_for.
  void parallel_for(std::size_t count, const std::function<void(std::size_t, int)>& task);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Threads that this process may use at once (its affinity mask, not the machine's size).
int available_threads();

}  // namespace toplens
