#include "statistics/resampling.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "base/random.h"

namespace toplens {
namespace {

TEST(Resampling, DrawsAreThoseOfBootstrapMeans) {
  Random random(8);
  std::vector<double> values(13);
  for (double& value : values) value = random.uniform();
  const Resampling draws(values.size(), 500, 3);
  ASSERT_EQ(draws.resamples(), 500u);
  std::vector<double> means;
  for (std::size_t r = 0; r < draws.resamples(); ++r) {
    const auto counts = draws.counts(r);
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0.0), 13.0);
    means.push_back(std::inner_product(counts.begin(), counts.end(), values.begin(), 0.0) / 13.0);
  }
  const Interval found = percentile_interval(means);
  const Interval expected = *BootstrapMeans(values.size(), 500, 0.95, 3).interval(values);
  EXPECT_NEAR(found.low, expected.low, 1e-12);
  EXPECT_NEAR(found.high, expected.high, 1e-12);
}

}  // namespace
}  // namespace toplens
