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

}  // namespace
}  // namespace toplens
