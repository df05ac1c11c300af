#include "parallel/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace toplens {
namespace {

class Pool : public ::testing::TestWithParam<int> {};

TEST_P(Pool, EveryIndexRunsOnceOnAWorkerInRange) {
  ThreadPool pool(GetParam());
  ASSERT_EQ(pool.size(), GetParam());
  for (const std::size_t count : {0u, 1u, 2u, 3u, 7u, 1000u}) {
    std::vector<std::atomic<int>> runs(count);
    std::atomic<int> bad_workers{0};
    pool.parallel_for(count, [&](std::size_t index, int worker) {
      ++runs.at(index);
      if (worker < 0 || worker >= GetParam()) ++bad_workers;
    });
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(runs[i], 1) << i;
    EXPECT_EQ(bad_workers, 0);
  }
}

TEST_P(Pool, AWorkerIsOneThreadAndTheCallerIsWorkerZero) {
  ThreadPool pool(GetParam());
  std::vector<std::set<std::thread::id>> threads(static_cast<std::size_t>(GetParam()));
  for (int round = 0; round < 20; ++round) {
    pool.parallel_for(64, [&](std::size_t, int worker) {
      threads[static_cast<std::size_t>(worker)].insert(std::this_thread::get_id());
    });
  }
  // Written by one worker each, so no lock is needed: ThreadSanitizer would object otherwise.
  for (const auto& ids : threads) EXPECT_LE(ids.size(), 1u);
  for (const std::thread::id id : threads[0]) EXPECT_EQ(id, std::this_thread::get_id());
}

TEST_P(Pool, ResultsAreVisibleToTheCallerWithoutSynchronisation) {
  ThreadPool pool(GetParam());
  std::vector<std::size_t> results(5000);
  for (std::size_t round = 0; round < 50; ++round) {
    pool.parallel_for(results.size(), [&](std::size_t i, int) { results[i] = i * round; });
    const std::size_t sum = std::accumulate(results.begin(), results.end(), std::size_t{0});
    ASSERT_EQ(sum, round * results.size() * (results.size() - 1) / 2);
  }
}

TEST_P(Pool, TheLowestExceptionIsRethrownAndThePoolGoesOn) {
  ThreadPool pool(GetParam());
  for (int round = 0; round < 20; ++round) {
    // All tasks up to 40 have started, in order, before one can throw: the lowest that throws is
    // known.
    std::atomic<std::size_t> started{0};
    try {
      pool.parallel_for(1000, [&](std::size_t index, int) {
        ++started;
        if (index >= 40) throw std::runtime_error(std::to_string(index));
      });
      FAIL() << "nothing thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "40");
    }
    EXPECT_LT(started, 41u + static_cast<std::size_t>(GetParam()));
    std::atomic<int> runs{0};
    pool.parallel_for(100, [&](std::size_t, int) { ++runs; });
    EXPECT_EQ(runs, 100);
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, Pool, ::testing::Range(1, 5));

TEST(PoolOnce, OnePoolInsideATaskOfAnother) {
  ThreadPool outer(3);
  std::atomic<int> runs{0};
  outer.parallel_for(6, [&](std::size_t, int) {
    ThreadPool inner(2);
    inner.parallel_for(10, [&](std::size_t, int) { ++runs; });
  });
  EXPECT_EQ(runs, 60);
}

TEST(PoolOnce, AvailableThreadsIsNoMoreThanTheMachine) {
  EXPECT_GE(available_threads(), 1);
  EXPECT_LE(available_threads(), static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace
}  // namespace toplens
