#include "parallel/thread_pool.h"

#include <sched.h>

#include <atomic>
#include <cassert>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

// libgomp's; declared here because no OpenMP is compiled in (Clang would bring a second runtime).
extern "C" void omp_set_num_threads(int);

namespace toplens {

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable start, done;
  const std::function<void(std::size_t, int)>* task = nullptr;
  std::size_t count = 0;
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  std::size_t generation = 0;
  int running = 0;
  bool stopping = false;
  std::exception_ptr error;
  std::size_t error_index = 0;
  std::vector<std::thread> threads;

  void work(int worker) {
    while (!failed.load(std::memory_order_relaxed)) {
      const std::size_t index = next.fetch_add(1, std::memory_order_relaxed);
      if (index >= count) return;
      try {
        (*task)(index, worker);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!error || index < error_index) {
          error = std::current_exception();
          error_index = index;
        }
        failed.store(true, std::memory_order_relaxed);
      }
    }
  }

  void serve(int worker) {
    omp_set_num_threads(1);  // oneDNN inside a task must not start threads of its own
    std::size_t seen = 0;
    std::unique_lock lock(mutex);
    while (true) {
      start.wait(lock, [&] { return stopping || generation != seen; });
      if (stopping) return;
      seen = generation;
      lock.unlock();
      work(worker);
      lock.lock();
      if (--running == 0) done.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  assert(threads >= 1);
  for (int worker = 1; worker < threads; ++worker) {
    state_->threads.emplace_back([this, worker] { state_->serve(worker); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->start.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

int ThreadPool::size() const { return static_cast<int>(state_->threads.size()) + 1; }

void ThreadPool::parallel_for(std::size_t count,
                              const std::function<void(std::size_t, int)>& task) {
  if (count == 0) return;
  State& state = *state_;
  omp_set_num_threads(1);
  {
    const std::lock_guard lock(state.mutex);
    assert(state.running == 0);
    state.task = &task;
    state.count = count;
    state.next = 0;
    state.failed = false;
    state.error = nullptr;
    state.running = static_cast<int>(state.threads.size());
    ++state.generation;
  }
  state.start.notify_all();
  state.work(0);
  std::unique_lock lock(state.mutex);
  state.done.wait(lock, [&] { return state.running == 0; });
  state.task = nullptr;
  if (state.error) std::rethrow_exception(state.error);
}

int available_threads() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  const unsigned count = std::thread::hardware_concurrency();
  return count == 0 ? 1 : static_cast<int>(count);
}

}  // namespace toplens
