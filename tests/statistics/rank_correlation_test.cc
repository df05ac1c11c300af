#include "statistics/rank_correlation.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"

namespace toplens {
namespace {

TEST(Spearman, TiesShareTheirMeanRank) {
  // Ranks 1, 2.5, 2.5, 4 and 2, 1, 3.5, 3.5: Pearson's correlation of these, by hand.
  const std::vector<double> x = {1.0, 7.0, 7.0, std::numeric_limits<double>::infinity()};
  const std::vector<double> y = {0.5, -3.0, 9.0, 9.0};
  EXPECT_NEAR(*spearman(x, y).value, 2.25 / 4.5, 1e-12);
}

TEST(Spearman, SeesOnlyTheOrder) {
  std::vector<double> x(50), y(50), down(50);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<double>((i * 7) % 50);
    y[i] = std::exp(x[i]);
    down[i] = -x[i] * x[i] * x[i];
  }
  const RankCorrelation up = spearman(x, y);
  EXPECT_DOUBLE_EQ(*up.value, 1.0);
  EXPECT_DOUBLE_EQ(up.interval->low, 1.0);
  EXPECT_DOUBLE_EQ(*spearman(x, down).value, -1.0);
}

TEST(Spearman, IsUndefinedWithoutSpreadOrWithTooFewPairs) {
  const std::vector<double> x = {1.0, 2.0, 3.0}, constant = {4.0, 4.0, 4.0}, two = {1.0, 2.0};
  EXPECT_FALSE(spearman(x, constant).value.has_value());
  EXPECT_FALSE(spearman(two, two).value.has_value());
  EXPECT_EQ(spearman(two, two).observations, 2u);
}

TEST(Spearman, IntervalHoldsTheTruthAboutAsOftenAsItSays) {
  // Uniform pairs with a common part: Spearman's correlation of the population from one big sample.
  const auto sample = [](std::size_t n, Random& random, std::vector<double>& x,
                         std::vector<double>& y) {
    x.resize(n);
    y.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      const double common = random.uniform();
      x[i] = common + random.uniform();
      y[i] = common + random.uniform();
    }
  };
  Random random(17);
  std::vector<double> x, y;
  sample(200000, random, x, y);
  RankCorrelationOptions once;
  once.resamples = 1;
  const double truth = *spearman(x, y, once).value;
  int held = 0;
  for (int trial = 0; trial < 200; ++trial) {
    sample(60, random, x, y);
    RankCorrelationOptions options;
    options.resamples = 300;
    options.seed = static_cast<std::uint64_t>(trial);
    const RankCorrelation r = spearman(x, y, options);
    held += r.interval->low <= truth && truth <= r.interval->high ? 1 : 0;
  }
  EXPECT_GE(held, 176);  // 190 expected, sd 3; percentile intervals are a little short
}

TEST(PartialSpearman, TakesOutWhatTheControlExplains) {
  Random random(4);
  std::vector<double> x(400), y(400), control(400), none(400, 1.0);
  for (std::size_t i = 0; i < x.size(); ++i) {
    control[i] = random.uniform();
    x[i] = control[i] + 0.2 * random.uniform();
    y[i] = control[i] + 0.2 * random.uniform();
  }
  EXPECT_GT(*spearman(x, y).value, 0.9);
  EXPECT_NEAR(*partial_spearman(x, y, control).value, 0.0, 0.15);
  EXPECT_DOUBLE_EQ(*partial_spearman(x, y, none).value, *spearman(x, y).value);
  EXPECT_FALSE(partial_spearman(x, y, x).value.has_value());
}

}  // namespace
}  // namespace toplens
