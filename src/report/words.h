#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace toplens {

/// "0.41": three significant digits; "-" for NaN.
std::string number_text(double value);
/// "62 %".
std::string percent_text(double share);
/// "1 head", "48 heads".
std::string count_text(std::size_t count, std::string_view noun);
/// "0.42 (95% interval 0.20 to 0.61)"; without an interval just the value.
std::string interval_text(double value, double low, double high);
/// "a, b and c".
std::string list_text(std::span<const std::string> items);

/// Median of what is not NaN; NaN where nothing is.
double median_of(std::span<const double> values);

}  // namespace toplens
