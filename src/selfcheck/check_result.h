#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/name_table.h"

namespace toplens {

enum class CheckStatus { pass, warn, fail, skipped };

inline constexpr std::array<NamedKind<CheckStatus>, 4> kCheckStatuses = {{
    {CheckStatus::pass, "pass"},
    {CheckStatus::warn, "warn"},
    {CheckStatus::fail, "fail"},
    {CheckStatus::skipped, "skipped"},
}};

inline std::string_view name(CheckStatus status) { return name_in(kCheckStatuses, status); }

/// What a check found, in figures and units; for warn and fail also what to do next.
struct Finding {
  CheckStatus status = CheckStatus::skipped;
  std::string reason;
};

struct CheckResult {
  std::string_view name;
  std::string_view asks;  ///< the question, for the documentation and --json
  Finding finding;
};

}  // namespace toplens
