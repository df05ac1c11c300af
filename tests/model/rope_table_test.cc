#include "model/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace toplens {
namespace {

TEST(RopeTable, DefaultFrequenciesAreTheGeometricSeries) {
  const std::vector<double> frequencies = rope_inverse_frequencies(RopeConfig(), 8);
  ASSERT_EQ(frequencies.size(), 4u);
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(frequencies[i], std::pow(10.0, -i), 1e-15);
}

TEST(RopeTable, LinearScalingDividesAll) {
  RopeConfig rope;
  rope.type = "linear";
  rope.factor = 4;
  const std::vector<double> frequencies = rope_inverse_frequencies(rope, 8);
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(frequencies[i], std::pow(10.0, -i) / 4, 1e-15);
}

TEST(RopeTable, Llama3ScalingEqualsHandComputedValues) {
  // Llama 3.1's own parameters. Pairs to 28 turn more than 4 times in 8192 tokens and are kept,
  // those from 36 turn less than once and are divided by 8, a ramp lies between.
  RopeConfig rope;
  rope.theta = 500000;
  rope.type = "llama3";
  rope.factor = 8;
  rope.low_freq_factor = 1;
  rope.high_freq_factor = 4;
  rope.original_max_position_embeddings = 8192;
  const std::vector<double> frequencies = rope_inverse_frequencies(rope, 128);
  ASSERT_EQ(frequencies.size(), 64u);
  const auto expect = [&](std::size_t pair, double value) {
    EXPECT_NEAR(frequencies[pair], value, 1e-12 * value) << pair;
  };
  expect(0, 1.0);
  expect(20, 0.016560440080994446);
  expect(28, 0.003211445994752591);
  expect(29, 0.002166570763503359);   // 0.0026160992529250353 unscaled, 3.411 turns
  expect(30, 0.0013718935677611381);  // 0.0021311195369119653 unscaled
  expect(33, 0.00031269375038406517);
  expect(35, 9.556212353964683e-05);
  expect(40, 0.0002742481756762073 / 8);
  expect(63, 2.455140791131609e-06 / 8);
}

TEST(RopeTable, HoldsCosinesAndSinesOfEveryPosition) {
  const RopeTable table(RopeConfig(), 8, 3000);
  for (const std::size_t position : {0u, 1u, 777u, 2999u}) {
    for (std::size_t i = 0; i < 4; ++i) {
      const double angle = static_cast<double>(position) * std::pow(10000.0, -2.0 * i / 8);
      EXPECT_NEAR(table.cosine(position)[i], std::cos(angle), 7e-8);
      EXPECT_NEAR(table.sine(position)[i], std::sin(angle), 7e-8);
    }
  }
}

}  // namespace
}  // namespace toplens
