#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/name_table.h"

namespace toplens {

/// Why a document has no signature (theory.md 8, Undefined). Kept as a number in the parts.
enum class SignatureReason : std::int32_t {
  defined = 0,
  no_sink_visible = 1,
  few_tokens = 2,
  no_other_mass = 3,
  zero_values = 4,
};

inline constexpr std::array<NamedKind<SignatureReason>, 5> kSignatureReasons = {{
    {SignatureReason::defined, ""},
    {SignatureReason::no_sink_visible, "no sink visible"},
    {SignatureReason::few_tokens, "too few visible tokens"},
    {SignatureReason::no_other_mass, "all attention on the sink"},
    {SignatureReason::zero_values, "values are zero"},
}};

inline std::string_view describe(SignatureReason reason) {
  return name_in(kSignatureReasons, reason);
}

}  // namespace toplens
