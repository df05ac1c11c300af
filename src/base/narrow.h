#pragma once

#include <cstdint>
#include <limits>

namespace toplens {

/// True where a * b fits into 64 unsigned bits; the product goes to `product`.
inline bool checked_multiply(std::uint64_t a, std::uint64_t b, std::uint64_t& product) {
  return !__builtin_mul_overflow(a, b, &product);
}

inline bool checked_add(std::uint64_t a, std::uint64_t b, std::uint64_t& sum) {
  return !__builtin_add_overflow(a, b, &sum);
}

}  // namespace toplens
