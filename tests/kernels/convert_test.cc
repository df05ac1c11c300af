#include "kernels/convert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "support/number_formats.h"
#include "support/simd_targets.h"

namespace toplens {
namespace {

using testing::bf16_bits;
using testing::f16_value;
using testing::float_of;
using testing::for_each_target;

TEST(Convert, RoundsToNearestEvenForEveryUpperHalf) {
  std::vector<float> from;
  for (std::uint32_t upper = 0; upper < 0x10000; ++upper) {
    for (const std::uint32_t lower : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      from.push_back(float_of(upper << 16 | lower));
    }
  }
  for_each_target([&] {
    std::vector<Bf16> to(from.size());
    convert_to_bf16(from, to);
    for (std::size_t i = 0; i < from.size(); ++i) {
      ASSERT_EQ(to[i], bf16_bits(from[i])) << std::hexfloat << from[i];
    }
  });
}

TEST(Convert, HalfPrecisionIsExactForEveryNumberAtEveryAlignment) {
  for (const std::size_t offset : {0u, 1u, 2u, 3u}) {
    std::vector<std::byte> bytes(offset + 2 * 0x10000);
    for (std::size_t half = 0; half < 0x10000; ++half) {
      bytes[offset + 2 * half] = static_cast<std::byte>(half & 0xff);
      bytes[offset + 2 * half + 1] = static_cast<std::byte>(half >> 8);
    }
    for_each_target([&] {
      std::vector<float> f16(0x10000), bf16(0x10000);
      convert_to_f32(bytes.data() + offset, DataType::f16, f16);
      convert_to_f32(bytes.data() + offset, DataType::bf16, bf16);
      for (std::uint32_t half = 0; half < 0x10000; ++half) {
        const double expected = f16_value(static_cast<std::uint16_t>(half));
        if (std::isnan(expected)) {
          ASSERT_TRUE(std::isnan(f16[half])) << "f16 bits " << half;
        } else {
          ASSERT_EQ(f16[half], expected) << "f16 bits " << half;
        }
        ASSERT_EQ(testing::bits_of(bf16[half]), half << 16);
      }
    });
  }
}

TEST(Convert, EveryTailIsConvertedAndNothingBeyondIt) {
  for_each_target([] {
    for (std::size_t count = 0; count <= 70; ++count) {
      std::vector<float> from(count);
      for (std::size_t i = 0; i < count; ++i) from[i] = static_cast<float>(i) - 20.25f;
      std::vector<std::byte> half(2 * count + 1);
      std::vector<Bf16> bf16(count + 1, 0xabcd);
      convert_to_bf16(from, std::span(bf16).first(count));
      EXPECT_EQ(bf16[count], 0xabcd);
      for (std::size_t i = 0; i < count; ++i) {
        EXPECT_EQ(bf16[i], bf16_bits(from[i]));
        const std::uint16_t bits = testing::f16_bits(from[i]);
        half[1 + 2 * i] = static_cast<std::byte>(bits & 0xff);
        half[2 + 2 * i] = static_cast<std::byte>(bits >> 8);
      }
      std::vector<float> wide(count + 1, 1e9f);
      convert_to_f32(half.data() + 1, DataType::f16, std::span(wide).first(count));
      for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(wide[i], from[i]);
      EXPECT_EQ(wide[count], 1e9f);
      const auto* bytes = reinterpret_cast<const std::byte*>(bf16.data());
      convert_to_f32(bytes, DataType::bf16, std::span(wide).first(count));
      for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(wide[i], testing::bf16_value(bf16[i]));
      EXPECT_EQ(wide[count], 1e9f);
    }
  });
}

TEST(Convert, StoredTypesBecomeBf16InBlocks) {
  const std::size_t count = 2500;  // more than two of the blocks it goes through
  std::vector<float> from(count);
  for (std::size_t i = 0; i < count; ++i) from[i] = std::ldexp(1.0f + 0.001f * i, i % 9) / 7.0f;
  std::vector<std::uint16_t> f16(count);
  for (std::size_t i = 0; i < count; ++i) f16[i] = testing::f16_bits(from[i]);
  std::vector<Bf16> to(count);
  convert_to_bf16(reinterpret_cast<const std::byte*>(from.data()), DataType::f32, to);
  for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(to[i], bf16_bits(from[i]));
  const std::vector<Bf16> stored = to;
  convert_to_bf16(reinterpret_cast<const std::byte*>(f16.data()), DataType::f16, to);
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_EQ(to[i], bf16_bits(static_cast<float>(f16_value(f16[i]))));
  }
  convert_to_bf16(reinterpret_cast<const std::byte*>(stored.data()), DataType::bf16, to);
  EXPECT_EQ(to, stored);
}

TEST(Convert, AllFiniteSeesEveryPlaceOfEverySize) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for_each_target([] {
    for (std::size_t count = 0; count <= 40; ++count) {
      std::vector<float> values(count, std::numeric_limits<float>::max());
      EXPECT_TRUE(all_finite(values));
      for (std::size_t i = 0; i < count; ++i) {
        for (const float bad : {kInfinity, -kInfinity, std::nanf("")}) {
          values[i] = bad;
          EXPECT_FALSE(all_finite(values)) << count << ' ' << i << ' ' << bad;
        }
        values[i] = -std::numeric_limits<float>::denorm_min();
      }
    }
  });
}

}  // namespace
}  // namespace toplens
