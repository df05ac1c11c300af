#include "statistics/quantile.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"

namespace toplens {
namespace {

TEST(Quantile, IsTheSeventhTypeOfHyndmanAndFan) {
  std::vector<double> values = {4.0, 1.0, 3.0, 2.0};
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile(values, 0.1), 1.3);
  EXPECT_DOUBLE_EQ(quantile(values, 1.0), 4.0);
}

// Bitwise: the shortcut through the tails may not be seen in any result.
TEST(CentralInterval, EqualsItsTwoQuantiles) {
  Random random(3);
  for (int round = 0; round < 300; ++round) {
    std::vector<double> values(1 + random.below(400));
    for (double& value : values) {
      const double x = static_cast<double>(random.below(1000)) / 100.0;
      // Equal, few-valued, even and very skewed samples: the tails may be empty or nearly all.
      value = round % 4 == 0   ? 1.0
              : round % 4 == 1 ? std::floor(x)
              : round % 4 == 2 ? x
                               : exp(3 * x);
    }
    for (const double level : {0.5, 0.68, 0.95, 0.999}) {
      std::vector<double> copy = values;
      const Interval found = central_interval(copy, level);
      const double tail = 0.5 * (1.0 - level);
      EXPECT_EQ(found.low, quantile(copy, tail));
      EXPECT_EQ(found.high, quantile(copy, 1.0 - tail));
    }
  }
}

}  // namespace
}  // namespace toplens
