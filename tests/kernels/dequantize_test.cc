// The block formats against a float64 reference that reads them element by element, as their
// definition says.

#include "kernels/dequantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "kernels/convert.h"
#include "support/number_formats.h"
#include "support/simd_targets.h"

namespace toplens {
namespace {

using testing::bits_of;
using Bytes = std::vector<std::byte>;

/// One block, read element by element in float64.
class Reference {
 public:
  Reference(DataType type, const std::byte* block) : type_(type), block_(block) {}

  double element(std::size_t i) const {
    switch (type_) {
      case DataType::q8_0:
        return half(0) * static_cast<std::int8_t>(byte(2 + i));
      case DataType::q4_0:
        return half(0) * (nibble(2, i) - 8);
      case DataType::q4_1:
        return half(0) * nibble(4, i) + half(2);
      case DataType::q5_0:
        return half(0) * (nibble(6, i) + 16 * bit(2, i) - 16);
      case DataType::q5_1:
        return half(0) * (nibble(8, i) + 16 * bit(4, i)) + half(2);
      case DataType::q4_k:
        return half(0) * scale(i / 32) * group_nibble(16, i) - half(2) * minimum(i / 32);
      case DataType::q5_k: {
        const int fifth = byte(16 + i % 32) >> (i / 32) & 1;
        return half(0) * scale(i / 32) * (group_nibble(48, i) + 16 * fifth) -
               half(2) * minimum(i / 32);
      }
      case DataType::q6_k: {
        // Element i of a half lies in quarter i / 32: the quarters share bytes two by two.
        const std::size_t half_index = i / 128, in_half = i % 128, quarter = in_half / 32;
        const int low = byte(64 * half_index + 32 * (quarter % 2) + i % 32) >> 4 * (quarter / 2);
        const int high = byte(128 + 32 * half_index + i % 32) >> 2 * quarter;
        const int q = (low & 15) + 16 * (high & 3) - 32;
        return half(208) * static_cast<std::int8_t>(byte(192 + i / 16)) * q;
      }
      default:
        ADD_FAILURE();
        return 0;
    }
  }

 private:
  int byte(std::size_t at) const { return std::to_integer<int>(block_[at]); }
  double half(std::size_t at) const {
    return testing::f16_value(static_cast<std::uint16_t>(byte(at) | byte(at + 1) << 8));
  }
  int nibble(std::size_t at, std::size_t i) const {
    return i < 16 ? byte(at + i) & 15 : byte(at + i - 16) >> 4;
  }
  int bit(std::size_t at, std::size_t i) const { return byte(at + i / 8) >> (i % 8) & 1; }
  int group_nibble(std::size_t at, std::size_t i) const {
    return byte(at + i / 64 * 32 + i % 32) >> (i / 32 % 2 * 4) & 15;
  }
  /// 6 bits each: of groups 0 to 3 in bytes 4 to 7 (scales) and 8 to 11 (minima), of the others
  /// nibbles in bytes 12 to 15 and the upper two bits of those.
  int scale(std::size_t group) const {
    if (group < 4) return byte(4 + group) & 63;
    return (byte(8 + group) & 15) + (byte(group) >> 6) * 16;
  }
  int minimum(std::size_t group) const {
    if (group < 4) return byte(8 + group) & 63;
    return (byte(8 + group) >> 4) + (byte(4 + group) >> 6) * 16;
  }

  DataType type_;
  const std::byte* block_;
};

constexpr DataType kQuantized[] = {DataType::q4_0, DataType::q4_1, DataType::q5_0, DataType::q5_1,
                                   DataType::q8_0, DataType::q4_k, DataType::q5_k, DataType::q6_k};

/// Bytes at random, and in some blocks the extremes.
Bytes random_blocks(DataType type, std::size_t blocks) {
  const std::size_t size = block_layout(type).bytes;
  std::mt19937_64 random(2027);
  Bytes bytes(blocks * size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  std::fill_n(bytes.begin(), size, std::byte{0x7b});         // large positive halves
  std::fill_n(bytes.begin() + size, size, std::byte{0xff});  // NaN scales
  std::fill_n(bytes.begin() + 2 * size, size, std::byte{0});
  std::fill_n(bytes.begin() + 3 * size, size, std::byte{0x80});  // tiny negative halves, -128
  return bytes;
}

class Dequantize : public ::testing::TestWithParam<DataType> {};

// Not near: equal. float32 holds every product of the formats exactly (dequantize.h).
TEST_P(Dequantize, EqualsTheFloat64ReferenceRoundedOnce) {
  const DataType type = GetParam();
  constexpr std::size_t kBlocks = 3000;
  const BlockLayout layout = block_layout(type);
  const Bytes blocks = random_blocks(type, kBlocks);
  Bytes shifted(blocks.size() + 1);
  std::copy(blocks.begin(), blocks.end(), shifted.begin() + 1);
  testing::for_each_target([&] {
    std::vector<float> values(kBlocks * layout.elements), moved(values.size());
    dequantize(blocks.data(), type, values);
    dequantize(shifted.data() + 1, type, moved);
    std::size_t finite = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const Reference reference(type, blocks.data() + i / layout.elements * layout.bytes);
      const auto expected = static_cast<float>(reference.element(i % layout.elements));
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(values[i])) << name(type) << " element " << i;
        continue;
      }
      ++finite;
      ASSERT_EQ(bits_of(values[i]), bits_of(expected)) << name(type) << " element " << i;
      ASSERT_EQ(bits_of(moved[i]), bits_of(expected)) << name(type) << " element " << i;
    }
    EXPECT_GT(finite, values.size() * 8 / 10);
  });
}

TEST_P(Dequantize, ConvertsToBf16ThroughFloat32) {
  const DataType type = GetParam();
  const BlockLayout layout = block_layout(type);
  const std::size_t blocks = 1024 / layout.elements * 5 + 1;
  const Bytes bytes = random_blocks(type, blocks);
  std::vector<float> wide(blocks * layout.elements);
  std::vector<Bf16> expected(wide.size()), found(wide.size());
  convert_to_f32(bytes.data(), type, wide);
  convert_to_bf16(wide, expected);
  convert_to_bf16(bytes.data(), type, found);
  EXPECT_EQ(found, expected);
}

INSTANTIATE_TEST_SUITE_P(Types, Dequantize, ::testing::ValuesIn(kQuantized),
                         [](const auto& info) { return std::string(name(info.param)); });

}  // namespace
}  // namespace toplens
