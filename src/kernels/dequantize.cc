#include "kernels/dequantize.h"

#include <array>
#include <bit>
#include <cassert>
#include <cstdint>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/dequantize.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

// Plain loops over bytes, which the compiler vectorises for each instruction set.

HWY_BEFORE_NAMESPACE();
namespace toplens {
namespace HWY_NAMESPACE {

inline std::uint32_t byte_at(const std::byte* from, std::size_t i) {
  return std::to_integer<std::uint32_t>(from[i]);
}

inline std::int32_t signed_byte_at(const std::byte* from, std::size_t i) {
  return static_cast<std::int8_t>(byte_at(from, i));
}

/// The little-endian binary16 at `from`, exactly.
inline float half_at(const std::byte* from) {
  const std::uint32_t half = byte_at(from, 0) | byte_at(from, 1) << 8;
  const std::uint32_t sign = (half & 0x8000) << 16;
  const std::uint32_t rest = half & 0x7fff;
  if (rest >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000u | (rest & 0x3ff) << 13);
  if (rest < 0x400) {
    const float size = static_cast<float>(rest) * 0x1p-24f;
    return sign != 0 ? -size : size;
  }
  return std::bit_cast<float>(sign | ((rest << 13) + (112u << 23)));
}

constexpr std::size_t kSmall = 32;   // elements of a block with one scale
constexpr std::size_t kSuper = 256;  // elements of a K block

void Q8Block(const std::byte* from, float* to) {
  const float d = half_at(from);
  for (std::size_t i = 0; i < kSmall; ++i) {
    to[i] = d * static_cast<float>(signed_byte_at(from + 2, i));
  }
}

/// Low nibbles are the first half of the block, high ones the second; value d * (q - 8).
void Q4Block(const std::byte* from, float* to) {
  const float d = half_at(from);
  for (std::size_t i = 0; i < kSmall / 2; ++i) {
    const std::uint32_t pair = byte_at(from + 2, i);
    to[i] = d * static_cast<float>(static_cast<std::int32_t>(pair & 15) - 8);
    to[i + kSmall / 2] = d * static_cast<float>(static_cast<std::int32_t>(pair >> 4) - 8);
  }
}

/// The same with a minimum: d * q + m.
void Q4MinBlock(const std::byte* from, float* to) {
  const float d = half_at(from), m = half_at(from + 2);
  for (std::size_t i = 0; i < kSmall / 2; ++i) {
    const std::uint32_t pair = byte_at(from + 4, i);
    to[i] = d * static_cast<float>(pair & 15) + m;
    to[i + kSmall / 2] = d * static_cast<float>(pair >> 4) + m;
  }
}

/// Fifth bits as one 32-bit word before the nibbles.
struct FifthBits {
  std::uint32_t bits;
  explicit FifthBits(const std::byte* from)
      : bits(byte_at(from, 0) | byte_at(from, 1) << 8 | byte_at(from, 2) << 16 |
             byte_at(from, 3) << 24) {}
  std::uint32_t of(std::size_t i) const { return (bits >> i & 1) << 4; }
};

void Q5Block(const std::byte* from, float* to) {
  const float d = half_at(from);
  const FifthBits fifth(from + 2);
  for (std::size_t i = 0; i < kSmall / 2; ++i) {
    const std::uint32_t pair = byte_at(from + 6, i);
    const std::uint32_t low = (pair & 15) | fifth.of(i);
    const std::uint32_t high = pair >> 4 | fifth.of(i + kSmall / 2);
    to[i] = d * static_cast<float>(static_cast<std::int32_t>(low) - 16);
    to[i + kSmall / 2] = d * static_cast<float>(static_cast<std::int32_t>(high) - 16);
  }
}

void Q5MinBlock(const std::byte* from, float* to) {
  const float d = half_at(from), m = half_at(from + 2);
  const FifthBits fifth(from + 4);
  for (std::size_t i = 0; i < kSmall / 2; ++i) {
    const std::uint32_t pair = byte_at(from + 8, i);
    to[i] = d * static_cast<float>((pair & 15) | fifth.of(i)) + m;
    to[i + kSmall / 2] = d * static_cast<float>(pair >> 4 | fifth.of(i + kSmall / 2)) + m;
  }
}

/// Scale and minimum of the 32 elements of a group, 6 bits each, of the 12 packed bytes: those of
/// groups 4 to 7 have their upper two bits in the bytes of groups 0 to 3.
struct GroupScale {
  float scale, minimum;
  GroupScale(const std::byte* packed, std::size_t group, float d, float d_min) {
    std::uint32_t s = byte_at(packed, group % 4), m = byte_at(packed, group % 4 + 4);
    if (group < 4) {
      s &= 63;
      m &= 63;
    } else {
      const std::uint32_t low = byte_at(packed, group + 4);
      s = (low & 15) | s >> 6 << 4;
      m = low >> 4 | m >> 6 << 4;
    }
    scale = d * static_cast<float>(s);
    minimum = d_min * static_cast<float>(m);
  }
};

/// Eight groups of 32; two groups share 32 bytes of nibbles.
void Q4KBlock(const std::byte* from, float* to) {
  const float d = half_at(from), d_min = half_at(from + 2);
  const std::byte* nibbles = from + 16;
  for (std::size_t group = 0; group < 8; group += 2, nibbles += 32) {
    const GroupScale a(from + 4, group, d, d_min), b(from + 4, group + 1, d, d_min);
    float* out = to + group * 32;
    for (std::size_t i = 0; i < 32; ++i) {
      const std::uint32_t pair = byte_at(nibbles, i);
      out[i] = a.scale * static_cast<float>(pair & 15) - a.minimum;
      out[i + 32] = b.scale * static_cast<float>(pair >> 4) - b.minimum;
    }
  }
}

/// The same with fifth bits: bit `group` of 32 bytes.
void Q5KBlock(const std::byte* from, float* to) {
  const float d = half_at(from), d_min = half_at(from + 2);
  const std::byte* fifth = from + 16;
  const std::byte* nibbles = from + 48;
  for (std::size_t group = 0; group < 8; group += 2, nibbles += 32) {
    const GroupScale a(from + 4, group, d, d_min), b(from + 4, group + 1, d, d_min);
    float* out = to + group * 32;
    for (std::size_t i = 0; i < 32; ++i) {
      const std::uint32_t pair = byte_at(nibbles, i), bits = byte_at(fifth, i) >> group;
      out[i] = a.scale * static_cast<float>((pair & 15) | (bits & 1) << 4) - a.minimum;
      out[i + 32] = b.scale * static_cast<float>(pair >> 4 | (bits & 2) << 3) - b.minimum;
    }
  }
}

/// Two halves of 128 elements: 64 bytes of nibbles, 32 bytes of upper bit pairs, 8 signed scales of
/// 16 elements each; the scale of all is at the end.
void Q6KBlock(const std::byte* from, float* to) {
  const float d = half_at(from + 208);
  for (std::size_t half = 0; half < 2; ++half) {
    const std::byte* nibbles = from + 64 * half;
    const std::byte* upper = from + 128 + 32 * half;
    const std::byte* scales = from + 192 + 8 * half;
    for (std::size_t quarter = 0; quarter < 4; ++quarter) {
      const std::byte* source = nibbles + 32 * (quarter % 2);
      const std::uint32_t nibble_shift = quarter < 2 ? 0 : 4;
      const auto upper_shift = static_cast<std::uint32_t>(2 * quarter);
      float* out = to + 128 * half + 32 * quarter;
      for (std::size_t part = 0; part < 2; ++part) {
        const float scale = d * static_cast<float>(signed_byte_at(scales, 2 * quarter + part));
        for (std::size_t i = 16 * part; i < 16 * part + 16; ++i) {
          const std::uint32_t low = byte_at(source, i) >> nibble_shift & 15;
          const std::uint32_t high = byte_at(upper, i) >> upper_shift & 3;
          out[i] = scale * static_cast<float>(static_cast<std::int32_t>(low | high << 4) - 32);
        }
      }
    }
  }
}

template <std::size_t elements, std::size_t bytes, typename Block>
void each_block(const std::byte* from, float* to, std::size_t count, const Block& block) {
  for (std::size_t i = 0; i < count; i += elements, from += bytes) block(from, to + i);
}

void Dequantize(const std::byte* from, DataType type, float* to, std::size_t count) {
  switch (type) {
    case DataType::q4_0:
      return each_block<kSmall, 18>(from, to, count, Q4Block);
    case DataType::q4_1:
      return each_block<kSmall, 20>(from, to, count, Q4MinBlock);
    case DataType::q5_0:
      return each_block<kSmall, 22>(from, to, count, Q5Block);
    case DataType::q5_1:
      return each_block<kSmall, 24>(from, to, count, Q5MinBlock);
    case DataType::q8_0:
      return each_block<kSmall, 34>(from, to, count, Q8Block);
    case DataType::q4_k:
      return each_block<kSuper, 144>(from, to, count, Q4KBlock);
    case DataType::q5_k:
      return each_block<kSuper, 176>(from, to, count, Q5KBlock);
    case DataType::q6_k:
      return each_block<kSuper, 210>(from, to, count, Q6KBlock);
    case DataType::f32:
    case DataType::f16:
    case DataType::bf16:
      return;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace toplens
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(Dequantize);

void dequantize(const std::byte* from, DataType type, std::span<float> to) {
  assert(is_quantized(type) && to.size() % block_layout(type).elements == 0);
  HWY_DYNAMIC_DISPATCH(Dequantize)(from, type, to.data(), to.size());
}

}  // namespace toplens
#endif  // HWY_ONCE
