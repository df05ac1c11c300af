#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

namespace toplens {

template <typename T>
using BitsOf = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

/// Unsigned integers in the order of the floating-point numbers; both zeros are the same.
template <typename T>
inline BitsOf<T> sortable(T score) {
  constexpr BitsOf<T> sign = BitsOf<T>{1} << (8 * sizeof(T) - 1);
  const auto bits = std::bit_cast<BitsOf<T>>(score + T{0});
  return (bits & sign) != 0 ? ~bits : bits | sign;
}

template <typename T>
inline T from_sortable(BitsOf<T> key) {
  constexpr BitsOf<T> sign = BitsOf<T>{1} << (8 * sizeof(T) - 1);
  return std::bit_cast<T>((key & sign) != 0 ? key ^ sign : ~key);
}

}  // namespace toplens
