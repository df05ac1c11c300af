#pragma once

#include <optional>
#include <string_view>

namespace toplens {

/// A layer or head number as head files write it: decimal digits without leading zeros.
inline std::optional<int> parse_head_number(std::string_view text) {
  constexpr std::size_t kMostDigits = 6;
  if (text.empty() || text.size() > kMostDigits || (text.size() > 1 && text[0] == '0')) {
    return std::nullopt;
  }
  int value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = 10 * value + (c - '0');
  }
  return value;
}

}  // namespace toplens
