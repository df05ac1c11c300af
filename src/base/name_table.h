#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include <toplens/error.h>

namespace toplens {

/// The one place where the kinds of an enumeration meet the names that users write.
template <typename Kind>
struct NamedKind {
  Kind kind;
  std::string_view name;
};

template <typename Kind, std::size_t n>
std::string_view name_in(const std::array<NamedKind<Kind>, n>& table, Kind kind) {
  for (const NamedKind<Kind>& row : table) {
    if (row.kind == kind) return row.name;
  }
  return "?";
}

/// The kind called `text`. Throws Error that lists the valid names; `what` says what they name.
template <typename Kind, std::size_t n>
Kind parse_name(const std::array<NamedKind<Kind>, n>& table, std::string_view what,
                std::string_view text) {
  std::string valid;
  for (const NamedKind<Kind>& row : table) {
    if (row.name == text) return row.kind;
    if (!valid.empty()) valid += ", ";
    valid += row.name;
  }
  throw Error("unknown " + std::string(what) + " '" + std::string(text) + "': expected one of " +
              valid);
}

}  // namespace toplens
