#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "selfcheck/check_result.h"
#include "selfcheck/evidence.h"

namespace toplens {

/// One check: a judgement of evidence that was collected before.
struct SelfCheck {
  std::string_view name;
  std::string_view asks;  ///< the question, for the documentation and --json
  Finding (*judge)(const Evidence&);
};

/// All checks, in the order in which they are shown.
std::span<const SelfCheck> self_checks();

/// Judges everything. A check whose evidence is missing is skipped and says why.
std::vector<CheckResult> judge(const Evidence& evidence);

/// How many checks failed.
std::size_t count_failures(std::span<const CheckResult> results);

}  // namespace toplens
