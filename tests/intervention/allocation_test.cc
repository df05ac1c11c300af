#include "intervention/allocation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/random.h"

namespace toplens {
namespace {

HeadLossCurves two_heads() {
  HeadLossCurves curves;
  curves.num_visible = 16;
  curves.sizes = {1, 2, 4, 8};
  curves.increases = {{0.40, 0.20, 0.10, 0.05}, {0.02, 0.02, 0.01, 0.00}};
  return curves;
}

TEST(HeadLossCurves, AreStraightBetweenTheSizes) {
  const HeadLossCurves curves = two_heads();
  EXPECT_DOUBLE_EQ(curves.increase(0, 1), 0.40);
  EXPECT_DOUBLE_EQ(curves.increase(0, 3), 0.15);
  EXPECT_DOUBLE_EQ(curves.increase(0, 12), 0.025);
  EXPECT_DOUBLE_EQ(curves.increase(0, 16), 0.0);
  EXPECT_DOUBLE_EQ(predicted_increase(curves, std::vector<int>{2, 4}), 0.21);
}

TEST(SensitivityAllocator, SpendsWhereATokenBuysMost) {
  const HeadLossCurves curves = two_heads();
  const SensitivityAllocator allocator(curves);
  EXPECT_EQ(allocator.allocate(2), (std::vector<int>{1, 1}));
  EXPECT_EQ(allocator.allocate(3), (std::vector<int>{2, 1}));
  EXPECT_EQ(allocator.allocate(5), (std::vector<int>{4, 1}));
  EXPECT_EQ(allocator.allocate(4), (std::vector<int>{3, 1}));  // a piece in part
  // 0.0125 a token from 4 to 8, then 0.00625 from 8 to 16; the other head saves 0.0033 and 0.0025.
  EXPECT_EQ(allocator.allocate(17), (std::vector<int>{16, 1}));
  EXPECT_EQ(allocator.allocate(24), (std::vector<int>{16, 8}));
  // What is left raises the smallest.
  EXPECT_EQ(allocator.allocate(30), (std::vector<int>{16, 14}));
  EXPECT_EQ(allocator.allocate(32), (std::vector<int>{16, 16}));
}

/// The least sum of increases over all allocations to two heads within a total.
double best_of_all(const HeadLossCurves& curves, int total) {
  double best = 1e9;
  for (int a = 1; a < total && a <= curves.num_visible; ++a) {
    const int b = std::min(total - a, curves.num_visible);
    best = std::min(best, predicted_increase(curves, std::vector<int>{a, b}));
  }
  return best;
}

TEST(SensitivityAllocator, IsTheOptimumOnConvexCurves) {
  Random random(1);
  for (int repeat = 0; repeat < 200; ++repeat) {
    HeadLossCurves curves;
    curves.num_visible = 33;
    curves.sizes = {1, 2, 4, 8, 16};
    for (int head = 0; head < 2; ++head) {
      const double scale = random.uniform(), decay = 0.1 + random.uniform();
      std::vector<double> increases;
      for (const int size : curves.sizes) increases.push_back(scale * std::exp(-decay * size));
      curves.increases.push_back(increases);
    }
    const SensitivityAllocator allocator(curves);
    for (const int total : {2, 3, 7, 12, 20, 40, 60, 66}) {
      const std::vector<int> kept = allocator.allocate(total);
      ASSERT_LE(total_kept(kept), total);
      ASSERT_NEAR(predicted_increase(curves, kept), best_of_all(curves, total), 1e-12) << total;
    }
  }
}

TEST(SensitivityAllocator, TakesNoLossFromADecreaseAndNoTurnFromABump) {
  HeadLossCurves curves;
  curves.num_visible = 8;
  curves.sizes = {1, 2, 4};
  curves.increases = {{-0.1, 0.3, -0.2}, {0.3, 0.5, 0.0}};
  const SensitivityAllocator allocator(curves);
  EXPECT_EQ(allocator.allocate(5), (std::vector<int>{1, 4}));
}

// Head 0 loses nothing at any size; its lower loss at 4 would be the steepest piece of all. The
// tokens go to head 1, whose loss they take away.
TEST(SensitivityAllocator, BuysNoDecreaseOfTheLoss) {
  HeadLossCurves curves;
  curves.num_visible = 8;
  curves.sizes = {1, 4};
  curves.increases = {{0.0, -0.6}, {0.3, 0.0}};
  const SensitivityAllocator allocator(curves);
  EXPECT_EQ(allocator.allocate(3), (std::vector<int>{1, 2}));
  EXPECT_EQ(allocator.allocate(5), (std::vector<int>{1, 4}));
  EXPECT_EQ(allocator.allocate(8), (std::vector<int>{4, 4}));
}

TEST(Allocations, KeepWithinTheTotalAndTheContext) {
  EXPECT_EQ(allocate_uniform(3, 9, 8), (std::vector<int>{3, 3, 3}));
  EXPECT_EQ(allocate_uniform(3, 10, 8), (std::vector<int>{3, 3, 4}));
  EXPECT_EQ(allocate_uniform(4, 6, 8), (std::vector<int>{1, 2, 1, 2}));
  EXPECT_EQ(allocate_uniform(3, 1, 8), (std::vector<int>{1, 1, 1}));
  EXPECT_EQ(allocate_uniform(3, 99, 8), (std::vector<int>{8, 8, 8}));
  const std::vector<double> need = {1, 2, 4};
  EXPECT_EQ(allocate_in_proportion(need, 14, 100), (std::vector<int>{2, 4, 8}));
  EXPECT_EQ(allocate_in_proportion(need, 3, 100), (std::vector<int>{1, 1, 1}));
  EXPECT_EQ(allocate_in_proportion(need, 24, 8), (std::vector<int>{8, 8, 8}));
  for (int total = 3; total < 60; ++total) {
    EXPECT_LE(total_kept(allocate_in_proportion(need, total, 20)), total);
  }
}

TEST(SearchTotal, FindsTheSmallestPassingTotalToOnePercent) {
  for (const std::int64_t most : {48L, 500L, 48L * 512}) {
    for (const double share : {0.0, 0.01, 0.3, 0.77, 1.0}) {
      const std::int64_t least = 10;
      const auto first =
          least + static_cast<std::int64_t>(share * static_cast<double>(most - least));
      std::map<std::int64_t, double> evaluated;
      int waves = 0;
      TotalSearch step = search_total(evaluated, least, most, 0.05);
      while (!step.total) {
        ASSERT_FALSE(step.wanted.empty());
        ASSERT_LT(++waves, 10);
        for (const std::int64_t total : step.wanted) {
          ASSERT_TRUE(total >= least && total < most);
          ASSERT_TRUE(evaluated.emplace(total, total >= first ? 0.05 : 0.06).second);
        }
        step = search_total(evaluated, least, most, 0.05);
      }
      EXPECT_GE(*step.total, first);
      EXPECT_LE(static_cast<double>(*step.total),
                std::max(1.01 * static_cast<double>(first), static_cast<double>(first + 1)));
    }
  }
}

}  // namespace
}  // namespace toplens
