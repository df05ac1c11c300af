#include "statistics/bootstrap.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"

namespace toplens {
namespace {

TEST(Bootstrap, IntervalOfTwoValuesHasTheKnownQuantiles) {
  // Means of resamples of {0, 1} are 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4.
  const std::vector<double> values = {0.0, 1.0};
  const auto wide = bootstrap_mean_interval(values, 2000, 0.95);
  ASSERT_TRUE(wide);
  EXPECT_EQ(wide->low, 0.0);
  EXPECT_EQ(wide->high, 1.0);
  const auto narrow = bootstrap_mean_interval(values, 2000, 0.2);
  ASSERT_TRUE(narrow);
  EXPECT_EQ(narrow->low, 0.5);
  EXPECT_EQ(narrow->high, 0.5);
}

TEST(Bootstrap, WidthAgreesWithTheNormalApproximation) {
  Random random(3);
  std::vector<double> values(400);
  double mean = 0.0;
  for (double& x : values) mean += (x = random.uniform()) / 400.0;
  double variance = 0.0;
  for (const double x : values) variance += (x - mean) * (x - mean) / 400.0;
  const auto interval = bootstrap_mean_interval(values, 4000);
  ASSERT_TRUE(interval);
  const double half = 1.96 * std::sqrt(variance / 400.0);
  EXPECT_NEAR(interval->low, mean - half, 0.1 * half);
  EXPECT_NEAR(interval->high, mean + half, 0.1 * half);
}

TEST(Bootstrap, SharedDrawsGiveWhatASingleMeanGives) {
  const std::vector<double> first = {0.1, 0.9, 0.4, 0.6, 0.3};
  const std::vector<double> second = {5.0, -3.0, 2.0, 8.0, 1.0};
  BootstrapMeans means(5);
  for (const auto& values : {first, second, first}) {
    const auto shared = means.interval(values);
    const auto alone = bootstrap_mean_interval(values);
    ASSERT_TRUE(shared && alone);
    EXPECT_EQ(shared->low, alone->low);
    EXPECT_EQ(shared->high, alone->high);
    EXPECT_LT(shared->low, shared->high);
  }
  const auto reseeded = BootstrapMeans(5, 2000, 0.95, 1).interval(first);
  EXPECT_TRUE(reseeded->low != means.interval(first)->low ||
              reseeded->high != means.interval(first)->high);
}

TEST(Bootstrap, EqualValuesGiveThatValueAndOneValueGivesNoInterval) {
  const std::vector<double> equal(7, 0.1);
  const auto interval = bootstrap_mean_interval(equal);
  ASSERT_TRUE(interval);
  EXPECT_EQ(interval->low, 0.1);
  EXPECT_EQ(interval->high, 0.1);
  EXPECT_FALSE(bootstrap_mean_interval(std::vector<double>{0.5}));
}

}  // namespace
}  // namespace toplens
