#include "kernels/integer_products.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "kernels/cpu_info.h"
#include "kernels/simd_level.h"
#include "support/simd_targets.h"

namespace toplens {
namespace {

using testing::for_each_target;

/// Components of widely different size, so that every product takes part in some rounding.
std::vector<float> vectors(std::size_t count, std::size_t dimension, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(count * dimension);
  for (float& x : numbers) x = static_cast<float>((random.uniform() - 0.5) * random.uniform());
  return numbers;
}

TEST(IntegerProducts, AreWithinTheirBoundOnEveryTarget) {
  for (const std::size_t tokens : {1u, 64u, 150u}) {
    for (const std::size_t dim : {1u, 7u, 64u, 128u, 256u}) {
      const std::vector<float> data = vectors(tokens, dim, tokens + dim);
      const std::vector<float> rows = vectors(20, dim, 3);
      double worst = 0.0;
      std::vector<std::vector<float>> results;
      for_each_target([&] {
        ValueVectors values;
        values.assign(MatrixView<const float>(data.data(), tokens, dim));
        const std::size_t padded = values.padded_dimension();
        IntegerValues integers;
        ASSERT_TRUE(integers.assign(values));
        std::vector<std::int16_t> forms(20 * padded);
        std::vector<float> units(20);
        std::vector<double> errors(20);
        std::vector<std::vector<double>> aggregates;
        for (std::size_t r = 0; r < 20; ++r) {
          aggregates.emplace_back(padded, 0.0);
          std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(r * dim), dim,
                      aggregates[r].begin());
          const IntegerForm form = to_integers(
              aggregates[r], std::sqrt(squared_length(aggregates[r])), forms.data() + r * padded);
          units[r] = static_cast<float>(form.unit);
          errors[r] = relative_integer_error(integers.error(), form.error);
          EXPECT_LE(form.error, 0.5001 * std::sqrt(static_cast<double>(dim)));
        }
        std::vector<float> all;
        for (std::size_t count = 1; count <= 20; ++count) {
          for (std::size_t p = 0; p * kValueColumns < tokens; ++p) {
            std::vector<float> out((count + 1) * kValueColumns, -1.5f);
            integers.panel_products(p, forms.data(), count, padded, units.data(), out.data(),
                                    kValueColumns);
            for (std::size_t r = 0; r < count; ++r) {
              for (std::size_t j = 0; j < kValueColumns; ++j) {
                const std::size_t token = p * kValueColumns + j;
                const float found = out[r * kValueColumns + j];
                if (token >= tokens) {
                  ASSERT_EQ(found, 0.0f);
                  continue;
                }
                const double exact = std::ldexp(value_product(values, token, aggregates[r].data()),
                                                values.panel_exponent());
                const double scale =
                    std::ldexp(std::sqrt(values.squared_norms()[token]), values.panel_exponent()) *
                    std::sqrt(squared_length(aggregates[r]));
                ASSERT_LE(std::abs(found - exact), errors[r] * scale) << r << ' ' << token;
                if (scale > 0.0)
                  worst = std::max(worst, std::abs(found - exact) / scale / errors[r]);
              }
            }
            ASSERT_EQ(out[count * kValueColumns], -1.5f) << "wrote beyond row " << count;
            all.insert(all.end(), out.begin(), out.end());
          }
        }
        results.push_back(all);
      });
      for (const auto& result : results) EXPECT_EQ(result, results.front());
      // The bound is no wild guess: in one dimension the integers are all but exact.
      if (dim == 128 && tokens == 150) {
        EXPECT_GT(worst, 0.1);
      }
    }
  }
}

/// Equal components are all rounded the same way, along the vector itself.
TEST(IntegerProducts, EqualComponentsReachTheBound) {
  for (const std::size_t dim : {24u, 48u, 128u}) {
    const std::vector<float> data(dim, 0.7f);
    ValueVectors values;
    values.assign(MatrixView<const float>(data.data(), 1, dim));
    IntegerValues integers;
    ASSERT_TRUE(integers.assign(values));
    const std::size_t padded = values.padded_dimension();
    std::vector<double> aggregate(data.begin(), data.end());
    std::vector<std::int16_t> form(padded);
    const double squared = squared_length(aggregate);
    const IntegerForm as_integers = to_integers(aggregate, std::sqrt(squared), form.data());
    ASSERT_GT(as_integers.error, 0.1 * std::sqrt(static_cast<double>(dim)));
    const auto unit = static_cast<float>(as_integers.unit);
    std::vector<float> out(kValueColumns);
    integers.panel_products(0, form.data(), 1, padded, &unit, out.data(), kValueColumns);
    const double error = std::abs(out[0] - std::ldexp(squared, values.panel_exponent())) /
                         std::ldexp(squared, values.panel_exponent());
    const double bound = relative_integer_error(integers.error(), as_integers.error);
    EXPECT_LE(error, bound) << dim;
    EXPECT_GT(error, 0.95 * bound) << dim;
  }
}

TEST(IntegerProducts, ExtremeVectorsDoNotOverflow) {
  for_each_target([] {
    // All of the length in one component, in all, and of either sign.
    for (const std::size_t dim : {1u, 2u, 128u}) {
      std::vector<float> data(3 * dim, 0.0f);
      data[0] = -1e30f;
      for (std::size_t c = 0; c < dim; ++c) data[dim + c] = 1e30f, data[2 * dim + c] = -1e30f;
      ValueVectors values;
      values.assign(MatrixView<const float>(data.data(), 3, dim));
      IntegerValues integers;
      ASSERT_TRUE(integers.assign(values));
      const std::size_t padded = values.padded_dimension();
      std::vector<std::int16_t> forms(3 * padded);
      std::vector<float> units(3);
      std::vector<double> aggregate(padded);
      for (std::size_t r = 0; r < 3; ++r) {
        std::fill(aggregate.begin(), aggregate.end(), 0.0);
        std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(r * dim), dim, aggregate.begin());
        const double length = std::sqrt(squared_length(aggregate));
        units[r] = static_cast<float>(
            std::ldexp(to_integers(aggregate, length, forms.data() + r * padded).unit,
                       values.panel_exponent()));
      }
      std::vector<float> out(3 * kValueColumns);
      integers.panel_products(0, forms.data(), 3, padded, units.data(), out.data(), kValueColumns);
      for (std::size_t r = 0; r < 3; ++r) {
        const double squared = std::ldexp(values.squared_norms()[r], 2 * values.panel_exponent());
        EXPECT_NEAR(out[r * kValueColumns + r], squared, 1e-3 * squared);
      }
      EXPECT_NEAR(out[kValueColumns + 2], -out[kValueColumns + 1], 1e-6);
    }
  });
}

TEST(IntegerProducts, AreFastWhereTheLevelAndTheProcessorSaySo) {
  const CpuInfo cpu = cpu_info();
  const bool has_vnni =
      std::find(cpu.features.begin(), cpu.features.end(), "avx512_vnni") != cpu.features.end();
  for_each_target(
      [&] { EXPECT_EQ(IntegerValues::is_fast(), has_vnni && active_simd_level() == "avx512"); });
}

TEST(IntegerProducts, ShortVectorsAreRefused) {
  std::vector<float> data(2 * 8, 0.0f);
  data[0] = 1.0f;
  ValueVectors values;
  values.assign(MatrixView<const float>(data.data(), 2, 8));
  IntegerValues integers;
  EXPECT_TRUE(integers.assign(values)) << "a vector of zeros is exact";
  data[8] = 0x1p-70f;
  values.assign(MatrixView<const float>(data.data(), 2, 8));
  EXPECT_FALSE(integers.assign(values));
}

}  // namespace
}  // namespace toplens
