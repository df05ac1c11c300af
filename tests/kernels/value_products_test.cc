#include "kernels/value_products.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "support/simd_targets.h"

namespace toplens {
namespace {

using testing::for_each_target;

std::vector<float> integers(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(count);
  for (float& x : numbers) x = static_cast<float>(random.below(41)) - 20.0f;
  return numbers;
}

TEST(ValueProducts, AreExactOnIntegersOnEveryTarget) {
  for (const std::size_t tokens : {1u, 63u, 64u, 150u}) {
    for (const std::size_t dim : {1u, 8u, 37u, 128u}) {
      const std::vector<float> data = integers(tokens * dim, tokens + dim);
      const std::vector<float> rows = integers(20 * dim, 3);
      for_each_target([&] {
        ValueVectors values;
        values.assign(MatrixView<const float>(data.data(), tokens, dim));
        const float scale = std::ldexp(1.0f, values.panel_exponent());
        for (std::size_t count = 1; count <= 20; ++count) {
          std::vector<float> out((count + 1) * kValueColumns, -1.5f);
          for (std::size_t first = 0; first < tokens; first += kValueColumns) {
            panel_products(MatrixView<const float>(rows.data(), count, dim),
                           values.panel(first / kValueColumns), out.data(), kValueColumns);
            for (std::size_t r = 0; r < count; ++r) {
              for (std::size_t j = 0; j < kValueColumns; ++j) {
                double expected = 0.0;
                for (std::size_t c = 0; c < dim && first + j < tokens; ++c) {
                  expected += double{rows[r * dim + c]} * data[(first + j) * dim + c];
                }
                ASSERT_EQ(out[r * kValueColumns + j], expected * scale) << r << ' ' << j;
              }
            }
          }
          ASSERT_EQ(out[count * kValueColumns], -1.5f) << "wrote beyond row " << count;
        }

        // The aggregate of every third token, its products with all of them, its float32 form.
        std::vector<std::uint32_t> order;
        std::vector<double> weights(tokens);
        for (std::size_t i = 0; i < tokens; ++i) {
          weights[i] = static_cast<double>(i % 7);
          if (i % 3 == 0) order.push_back(static_cast<std::uint32_t>(i));
        }
        std::vector<double> aggregate(values.padded_dimension(), 0.0);
        add_weighted_values(values, 0, order, weights.data(), aggregate.data());
        std::vector<double> expected(values.padded_dimension(), 0.0);
        double squared = 0.0;
        for (std::size_t c = 0; c < dim; ++c) {
          for (const std::uint32_t i : order) expected[c] += weights[i] * data[i * dim + c];
          squared += expected[c] * expected[c];
        }
        ASSERT_EQ(aggregate, expected);
        ASSERT_EQ(squared_length(aggregate), squared);
        for (std::size_t i = 0; i < tokens; ++i) {
          double product = 0.0;
          double norm = 0.0;
          for (std::size_t c = 0; c < dim; ++c) {
            product += expected[c] * data[i * dim + c];
            norm += double{data[i * dim + c]} * data[i * dim + c];
          }
          ASSERT_EQ(value_product(values, i, aggregate.data()), product);
          ASSERT_EQ(values.squared_norms()[i], norm);
        }
        std::vector<float> rounded(values.padded_dimension());
        scale_to_float(aggregate, 0.25, rounded.data());
        for (std::size_t c = 0; c < rounded.size(); ++c) {
          ASSERT_EQ(rounded[c], static_cast<float>(aggregate[c] * 0.25));
        }
      });
    }
  }
}

TEST(ValueProducts, PanelsAreScaledToTheLongestVector) {
  for (const float size : {1e-44f, 1e-30f, 1.0f, 1e30f, 3e38f}) {
    const std::vector<float> data = {size, size, 0.0f, size / 2, 0.0f, 0.0f};
    ValueVectors values;
    values.assign(MatrixView<const float>(data.data(), 3, 2));
    const double longest = std::hypot(double{size}, double{size});
    const double scaled = std::ldexp(longest, values.panel_exponent());
    EXPECT_LE(scaled, 8.0);
    if (size > 1e-38f && size < 1e30f) {
      EXPECT_GT(scaled, 0.25);
    }
    EXPECT_EQ(values.panel(0)[0], std::ldexp(size, values.panel_exponent()));
    EXPECT_EQ(values.panel(0)[3], 0.0f);
  }
}

}  // namespace
}  // namespace toplens
