#include "statistics/effective_rank.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

namespace toplens {
namespace {

TEST(EffectiveRank, IsTheNumberOfEqualSingularValues) {
  std::vector<float> values(64 * 16, 0.0f);
  for (std::size_t i = 0; i < 64; ++i) values[i * 16 + i % 4] = 3.0f;
  EXPECT_NEAR(EffectiveRank().of({values.data(), 64, 16}), 4.0, 1e-6);
  std::fill(values.begin(), values.end(), 1.0f);
  EXPECT_NEAR(EffectiveRank().of({values.data(), 64, 16}), 1.0, 1e-6);
  std::fill(values.begin(), values.end(), 0.0f);
  EXPECT_TRUE(std::isnan(EffectiveRank().of({values.data(), 64, 16})));
}

TEST(EffectiveRank, IsTheExponentialOfTheEntropyOfTheSingularValuesThemselves) {
  // Singular values 3 and 1: shares 3/4 and 1/4.
  const std::vector<float> values = {3.0f, 0.0f, 0.0f, 1.0f};
  const double entropy = -(0.75 * std::log(0.75) + 0.25 * std::log(0.25));
  EXPECT_NEAR(EffectiveRank().of({values.data(), 2, 2}), std::exp(entropy), 1e-12);
}

}  // namespace
}  // namespace toplens
