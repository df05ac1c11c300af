#include "statistics/wilson.h"

#include <gtest/gtest.h>

namespace toplens {
namespace {

TEST(Wilson, PublishedValues) {
  // Newcombe 1998 (Statistics in Medicine 17, 857-872), table I, method 3.
  const Interval a = wilson_interval(81, 263);
  EXPECT_NEAR(a.low, 0.2553, 5e-5);
  EXPECT_NEAR(a.high, 0.3662, 5e-5);
  const Interval b = wilson_interval(15, 148);
  EXPECT_NEAR(b.low, 0.0624, 5e-5);
  EXPECT_NEAR(b.high, 0.1605, 5e-5);
  const Interval none = wilson_interval(0, 20);
  EXPECT_EQ(none.low, 0.0);
  EXPECT_NEAR(none.high, 0.1611, 5e-5);
  const Interval one = wilson_interval(1, 29);
  EXPECT_NEAR(one.low, 0.0061, 5e-5);
  EXPECT_NEAR(one.high, 0.1718, 5e-5);
  EXPECT_EQ(wilson_interval(20, 20).high, 1.0);
  EXPECT_NEAR(wilson_interval(20, 20).low, 1.0 - none.high, 1e-12);
}

}  // namespace
}  // namespace toplens
