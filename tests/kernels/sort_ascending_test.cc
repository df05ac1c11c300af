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
      std::vector<float> expected = values;
      std::sort(expected.begin(), expected.end());
      sorter.sort(values);
      ASSERT_EQ(values, expected) << round;
    }
  });
}

}  // namespace
}  // namespace toplens
