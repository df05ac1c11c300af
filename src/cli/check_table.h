#pragma once

#include <span>
#include <string>

#include <nlohmann/json.hpp>

#include "selfcheck/check_result.h"

namespace toplens {

/// A line for each check, wrapped, and the count of each status.
std::string check_table(std::span<const CheckResult> results);

/// An array of objects: check, asks, status, reason.
nlohmann::ordered_json checks_json(std::span<const CheckResult> results);

}  // namespace toplens
