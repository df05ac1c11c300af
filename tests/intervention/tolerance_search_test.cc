#include "intervention/tolerance_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/random.h"

namespace toplens {
namespace {

using Curve = std::function<double(int)>;

struct Found {
  int set_size = 0;
  std::vector<std::vector<int>> waves;
  std::vector<int> visited;
};

Found search(const Curve& curve, int visible, double tolerance, LossChanges evaluated = {}) {
  Found found;
  for (int wave = 0; wave < 100; ++wave) {
    const ToleranceSearch step = search_tolerance(evaluated, visible, tolerance);
    if (step.set_size) {
      found.set_size = *step.set_size;
      found.visited = step.visited;
      EXPECT_TRUE(step.wanted.empty());
      return found;
    }
    EXPECT_FALSE(step.wanted.empty());
    found.waves.push_back(step.wanted);
    for (const int size : step.wanted) {
      EXPECT_TRUE(size >= 1 && size < visible) << size;
      EXPECT_TRUE(evaluated.emplace(size, curve(size)).second) << "wanted twice: " << size;
    }
  }
  ADD_FAILURE() << "the search does not end";
  return found;
}

/// Passes from `first` on.
Curve step_at(int first) {
  return [first](int size) { return size >= first ? 0.0 : 1.0; };
}

using Waves = std::vector<std::vector<int>>;

TEST(ToleranceSearch, VisitsPowersThenBisectsThenLooksTwoAndThreeBelow) {
  const Found found = search(step_at(11), 20, 0.05);
  EXPECT_EQ(found.set_size, 11);
  // 8 fails and 16 passes; 12, 10, 11; then 8 is visited already and 9 is not.
  EXPECT_EQ(found.waves, (Waves{{1, 2, 4, 8, 16}, {12}, {10}, {11}, {9}}));
  EXPECT_EQ(found.visited, (std::vector<int>{1, 2, 4, 8, 9, 10, 11, 12, 16}));
}

TEST(ToleranceSearch, OneIsAnswerAtOnce) {
  const Found found = search(step_at(1), 1024, 0.05);
  EXPECT_EQ(found.set_size, 1);
  EXPECT_EQ(found.waves, (Waves{{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}}));
}

TEST(ToleranceSearch, NoPowerPassesAndTheContextDoesByDefinition) {
  Found found = search(step_at(20), 20, 0.05);
  EXPECT_EQ(found.set_size, 20);
  EXPECT_EQ(found.waves, (Waves{{1, 2, 4, 8, 16}, {18}, {19}, {17}}));
  // A context that is a power of two: the largest power below it.
  found = search(step_at(16), 16, 0.05);
  EXPECT_EQ(found.set_size, 16);
  EXPECT_EQ(found.waves, (Waves{{1, 2, 4, 8}, {12}, {14}, {15}, {13}}));
  EXPECT_EQ(search(step_at(1), 1, 0.05).set_size, 1);
  EXPECT_EQ(search(step_at(2), 2, 0.05).set_size, 2);
  EXPECT_EQ(search(step_at(3), 3, 0.05).set_size, 3);
}

TEST(ToleranceSearch, TakesAPassingSizeBelowTheBisectionsAnswer) {
  // 64 passes, 32 does not; the bisection ends at 48 with 47 failing, and 45 passes.
  const Curve curve = [](int size) { return size >= 48 || size == 45 ? 0.0 : 1.0; };
  const Found found = search(curve, 100, 0.05);
  EXPECT_EQ(found.set_size, 45);
  EXPECT_EQ(found.waves, (Waves{{1, 2, 4, 8, 16, 32, 64}, {48}, {40}, {44}, {46}, {47}, {45}}));
  // Where both pass, the smaller; the other is not evaluated.
  const Curve both = [](int size) { return size >= 51 || size == 48 || size == 49 ? 0.0 : 1.0; };
  EXPECT_EQ(search(both, 100, 0.05).set_size, 48);
}

TEST(ToleranceSearch, SmallestPassingPowerCountsWhereTheCurveIsNotMonotone) {
  // 4 passes, 8 and 16 do not.
  const Curve curve = [](int size) { return size == 4 || size >= 20 ? 0.0 : 1.0; };
  const Found found = search(curve, 64, 0.05);
  EXPECT_EQ(found.set_size, 4);
  EXPECT_EQ(found.waves, (Waves{{1, 2, 4, 8, 16, 32}, {3}}));  // 1 and 2 were visited
}

TEST(ToleranceSearch, TheToleranceItselfPasses) {
  const Curve curve = [](int size) { return 0.1 / size; };
  EXPECT_EQ(search(curve, 64, 0.05).set_size, 2);
  EXPECT_EQ(search(curve, 64, 0.0499).set_size, 3);
}

TEST(ToleranceSearch, MonotoneCurvesGiveTheSmallestPassingSize) {
  for (const int visible : {2, 3, 7, 8, 9, 31, 64, 100}) {
    for (int first = 1; first <= visible; ++first) {
      const Found found = search(step_at(first), visible, 0.05);
      ASSERT_EQ(found.set_size, first) << visible;
    }
  }
}

TEST(ToleranceSearch, SharedEvaluationsChangeNoAnswer) {
  Random random(3);
  for (int repeat = 0; repeat < 300; ++repeat) {
    const int visible = 2 + static_cast<int>(random.below(90));
    std::vector<double> losses(static_cast<std::size_t>(visible) + 1);
    for (double& loss : losses) loss = random.uniform();
    const Curve curve = [&](int size) { return losses[static_cast<std::size_t>(size)]; };
    LossChanges others;
    for (int size = 1; size < visible; ++size) {
      if (random.below(2) == 0) others.emplace(size, curve(size));
    }
    const Found alone = search(curve, visible, 0.3);
    const Found shared = search(curve, visible, 0.3, others);
    ASSERT_EQ(alone.set_size, shared.set_size);
    ASSERT_EQ(alone.visited, shared.visited);
    ASSERT_TRUE(alone.set_size == visible || curve(alone.set_size) <= 0.3);
  }
}

}  // namespace
}  // namespace toplens
