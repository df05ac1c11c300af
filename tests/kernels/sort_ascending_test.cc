#include "kernels/sort_ascending.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "support/simd_targets.h"

namespace toplens {
namespace {

TEST(FloatSorter, EqualsStdSort) {
  testing::for_each_target([] {
    Random random(5);
    FloatSorter sorter;
    for (int round = 0; round < 500; ++round) {
      std::vector<float> values(random.below(round % 20 == 0 ? 700 : 200));
      for (float& value : values) {
        const float x = static_cast<float>(random.below(2001)) - 1000.0f;
        switch (round % 5) {
          case 0:
            value = x;
            break;
          case 1:
            value = 3.0f;
            break;  // equal
          case 2:
            value = std::exp(x / 12.0f);
            break;  // nearly all in one bucket
          case 3:
            value = std::ldexp(x, -145);
            break;  // subnormal
          default:
            value = std::ldexp(x, 116);
            break;  // range near the largest float
        }
      }
      const std::vector<float> before = values;
      std::vector<float> expected = values;
      std::sort(expected.begin(), expected.end());
      const auto places = sorter.sort(values);
      ASSERT_EQ(values, expected) << round;
      for (std::size_t i = 0; i < before.size(); ++i) {
        const auto first = std::lower_bound(expected.begin(), expected.end(), before[i]);
        ASSERT_EQ(places[i], first - expected.begin()) << round;
      }
    }
  });
}

}  // namespace
}  // namespace toplens
