#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/random.h"
#include "support/number_formats.h"
#include "support/safetensors_writer.h"

namespace toplens {
namespace {

constexpr DataType kTypes[] = {DataType::f32, DataType::f16, DataType::bf16};

std::vector<float> reals(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(count);
  for (float& x : numbers) x = static_cast<float>(2 * random.uniform() - 1);
  return numbers;
}

std::vector<float> integers(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(count);
  for (float& x : numbers) x = static_cast<float>(random.below(31)) - 15.0f;
  return numbers;
}

/// Stored weights that begin at an odd address, as a checkpoint's may.
struct StoredWeights {
  std::string bytes;
  WeightMatrix matrix;

  StoredWeights(const std::vector<float>& values, std::size_t rows, std::size_t columns,
                DataType type)
      : bytes(1, '\0') {
    bytes += testing::encode(values, type);
    matrix = {reinterpret_cast<const std::byte*>(bytes.data()) + 1, type, rows, columns};
  }
  /// The value that the product uses.
  float used(const std::vector<float>& values, std::size_t i, ComputeType compute) const {
    float value = values[i];
    if (matrix.type == DataType::f16) {
      value = static_cast<float>(testing::f16_value(testing::f16_bits(value)));
    }
    if (matrix.type == DataType::bf16 || compute == ComputeType::bf16) {
      value = testing::bf16_value(testing::bf16_bits(value));
    }
    return value;
  }
};

InputMatrix stored_input(const std::vector<float>& values, std::size_t rows, std::size_t columns,
                         ComputeType compute, std::size_t block_rows) {
  InputMatrix input(compute, block_rows);
  input.resize(rows, columns);
  for (std::size_t r = 0; r < rows; ++r) {
    input.store(r, 0, std::span(values).subspan(r * columns, columns));
  }
  return input;
}

class Matmul : public ::testing::TestWithParam<ComputeType> {
 protected:
  void SetUp() override {
    if (GetParam() == ComputeType::bf16 && !has_fast_bf16()) {
      GTEST_SKIP() << "SKIPPED, oneDNN does not multiply bfloat16 on this machine";
    }
  }
};

TEST_P(Matmul, EqualsFloat64ForEveryStoredType) {
  const std::size_t rows = 50, inputs = 70, outputs = 45, block_rows = 64;
  const std::vector<float> a = reals(rows * inputs, 1), b = reals(outputs * inputs, 2);
  for (const DataType type : kTypes) {
    const StoredWeights weights(b, outputs, inputs, type);
    const InputMatrix input = stored_input(a, rows, inputs, GetParam(), block_rows);
    std::vector<float> out(block_rows * outputs);
    BlockMultiplier(GetParam())
        .multiply(input.block(0), block_rows, weights.matrix, 0, outputs, out.data());
    for (std::size_t r = 0; r < block_rows; ++r) {
      for (std::size_t o = 0; o < outputs; ++o) {
        double expected = 0;
        for (std::size_t i = 0; i < inputs && r < rows; ++i) {
          const float x = a[r * inputs + i];
          const float used =
              GetParam() == ComputeType::f32 ? x : testing::bf16_value(testing::bf16_bits(x));
          expected += double{used} * weights.used(b, o * inputs + i, GetParam());
        }
        ASSERT_NEAR(out[r * outputs + o], expected, 1e-5) << name(type) << ' ' << r << ' ' << o;
      }
    }
  }
}

TEST_P(Matmul, IsExactOnSmallIntegersInEverySlice) {
  const std::size_t rows = 130, inputs = 129, outputs = 77, block_rows = 64;
  const std::vector<float> a = integers(rows * inputs, 3), b = integers(outputs * inputs, 4);
  for (const DataType type : kTypes) {
    const StoredWeights weights(b, outputs, inputs, type);
    const InputMatrix input = stored_input(a, rows, inputs, GetParam(), block_rows);
    ASSERT_EQ(input.blocks(), 3u);
    BlockMultiplier multiplier(GetParam());
    for (const auto& [first, count] :
         {std::pair<std::size_t, std::size_t>{0, 77}, {0, 16}, {16, 48}, {64, 13}, {76, 1}}) {
      for (std::size_t block = 0; block < 3; ++block) {
        std::vector<float> out(block_rows * count + 1, 0.5f);
        multiplier.multiply(input.block(block), block_rows, weights.matrix, first, count,
                            out.data(), static_cast<int>(first / 16 % 2));
        for (std::size_t r = 0; r < block_rows; ++r) {
          for (std::size_t o = 0; o < count; ++o) {
            float expected = 0;
            const std::size_t row = block * block_rows + r;
            for (std::size_t i = 0; i < inputs && row < rows; ++i) {
              expected += a[row * inputs + i] * b[(first + o) * inputs + i];
            }
            ASSERT_EQ(out[r * count + o], expected) << name(type) << ' ' << row << ' ' << first + o;
          }
        }
        ASSERT_EQ(out.back(), 0.5f);
      }
    }
  }
}

TEST_P(Matmul, ARowGivesTheSameBitsAtEveryPlaceBesideAnything) {
  // The shapes of a real layer are multiples of 16; small models' are not.
  for (const auto& [inputs, outputs, block_rows] :
       {std::tuple<std::size_t, std::size_t, std::size_t>{48, 112, 64},
        {50, 45, 192},
        {40, 560, 1024},
        {1100, 40, 1024},
        {512, 176, 1024}}) {
    const std::vector<float> b = reals(outputs * inputs, 2), row = reals(inputs, 5);
    const StoredWeights weights(b, outputs, inputs, DataType::bf16);
    BlockMultiplier multiplier(GetParam());
    std::vector<float> alone;
    for (const std::size_t place : {std::size_t{0}, std::size_t{1}, std::size_t{13},
                                    std::size_t{37}, block_rows / 2, block_rows - 1}) {
      for (const std::size_t rows : {place + 1, block_rows}) {
        InputMatrix input =
            stored_input(reals(rows * inputs, 6 + place), rows, inputs, GetParam(), block_rows);
        input.store(place, 0, row);
        std::vector<float> out(block_rows * outputs);
        multiplier.multiply(input.block(0), block_rows, weights.matrix, 0, outputs, out.data());
        const std::vector<float> result(
            out.begin() + static_cast<std::ptrdiff_t>(place * outputs),
            out.begin() + static_cast<std::ptrdiff_t>((place + 1) * outputs));
        if (alone.empty()) alone = result;
        ASSERT_EQ(result, alone) << inputs << 'x' << outputs << " place " << place << " of "
                                 << block_rows << " with " << rows << " rows";
      }
    }
  }
}

TEST_P(Matmul, InputPaddingIsZeroAfterLargerUses) {
  InputMatrix input(GetParam(), 64);
  input.resize(64, 32);
  const std::vector<float> ones(32, 1.0f);
  for (std::size_t r = 0; r < 64; ++r) input.store(r, 0, ones);
  input.resize(3, 20);
  EXPECT_EQ(input.blocks(), 1u);
  const StoredWeights weights(std::vector<float>(20, 1.0f), 1, 20, DataType::f32);
  std::vector<float> out(64);
  BlockMultiplier(GetParam()).multiply(input.block(0), 64, weights.matrix, 0, 1, out.data());
  for (std::size_t r = 0; r < 64; ++r) EXPECT_EQ(out[r], r < 3 ? 20.0f : 0.0f) << r;
}

INSTANTIATE_TEST_SUITE_P(Compute, Matmul, ::testing::Values(ComputeType::f32, ComputeType::bf16),
                         [](const auto& info) {
                           return info.param == ComputeType::f32 ? "f32" : "bf16";
                         });

TEST(MultiplyF32, BothFormsWithStridesEqualThePlainLoop) {
  Random random(8);
  for (int round = 0; round < 60; ++round) {
    const std::size_t m = 1 + random.below(140), n = 1 + random.below(90), k = 1 + random.below(60);
    const bool transposed = round % 2 == 0;
    const std::size_t b_rows = transposed ? n : k, b_columns = transposed ? k : n;
    const std::size_t a_stride = k + random.below(5), b_stride = b_columns + random.below(5);
    const std::size_t c_stride = n + random.below(5);
    const std::vector<float> a = integers(m * a_stride, 10 + static_cast<unsigned>(round));
    const std::vector<float> b = integers(b_rows * b_stride, 90 + static_cast<unsigned>(round));
    // What was in the result must not matter, and what lies between its rows must stay.
    std::vector<float> c(m * c_stride, std::numeric_limits<float>::quiet_NaN());
    for (std::size_t r = 0; r < m; ++r) {
      for (std::size_t j = n; j < c_stride; ++j) c[r * c_stride + j] = 0.5f;
    }
    multiply_f32({a.data(), m, k, a_stride}, {b.data(), b_rows, b_columns, b_stride}, transposed,
                 {c.data(), m, n, c_stride});
    for (std::size_t r = 0; r < m; ++r) {
      for (std::size_t j = 0; j < n; ++j) {
        float expected = 0;
        for (std::size_t i = 0; i < k; ++i) {
          expected +=
              a[r * a_stride + i] * (transposed ? b[j * b_stride + i] : b[i * b_stride + j]);
        }
        ASSERT_EQ(c[r * c_stride + j], expected) << m << ' ' << n << ' ' << k;
      }
      for (std::size_t j = n; j < c_stride; ++j) ASSERT_EQ(c[r * c_stride + j], 0.5f);
    }
  }
}

}  // namespace
}  // namespace toplens
