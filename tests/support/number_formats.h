#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace toplens::testing {

inline std::uint32_t bits_of(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

inline float float_of(std::uint32_t bits) {
  float value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

/// What IEEE 754 says a binary16 number is, by its fields.
inline double f16_value(std::uint16_t half) {
  const double sign = (half & 0x8000) != 0 ? -1.0 : 1.0;
  const int exponent = (half >> 10) & 0x1f;
  const int fraction = half & 0x3ff;
  if (exponent == 0x1f) {
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

/// The nearest binary16, ties to even.
inline std::uint16_t f16_bits(float value) {
  const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double size = std::fabs(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7e00);
  if (size >= 65520.0) return static_cast<std::uint16_t>(sign | 0x7c00);
  if (size < std::ldexp(1.0, -14)) {
    return static_cast<std::uint16_t>(sign | static_cast<int>(std::nearbyint(size * 0x1p24)));
  }
  const int exponent = std::ilogb(size);
  const int significand = static_cast<int>(std::nearbyint(std::ldexp(size, 10 - exponent)));
  return static_cast<std::uint16_t>(sign | (((exponent + 15) << 10) + significand - 1024));
}

/// The nearest bfloat16 found by comparing distances to both neighbours, ties to even; the
/// neighbour beyond the largest finite number counts as 2^128.
inline std::uint16_t bf16_bits(float value) {
  const std::uint32_t bits = bits_of(value);
  const auto down = static_cast<std::uint16_t>(bits >> 16);
  if (std::isnan(value)) return static_cast<std::uint16_t>(down | 0x40);
  if (std::isinf(value)) return down;
  const auto up = static_cast<std::uint16_t>(down + 1);
  const double size = std::fabs(value);
  const double below = std::fabs(float_of(static_cast<std::uint32_t>(down) << 16));
  const bool overflows = (up & 0x7fff) == 0x7f80;
  const double above = overflows ? 0x1p128 : std::fabs(float_of(std::uint32_t{up} << 16));
  if (size - below != above - size) return size - below < above - size ? down : up;
  return down % 2 == 0 ? down : up;
}

inline float bf16_value(std::uint16_t half) { return float_of(std::uint32_t{half} << 16); }

}  // namespace toplens::testing
