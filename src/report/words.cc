#include "report/words.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <fmt/format.h>

#include "statistics/quantile.h"

namespace toplens {

std::string number_text(double value) {
  if (std::isnan(value)) return "-";
  const double size = std::abs(value);
  if (value == std::floor(value) && size < 1e6) return fmt::format("{:.0f}", value);
  if (size >= 100) return fmt::format("{:.0f}", value);
  if (size >= 10) return fmt::format("{:.1f}", value);
  if (size >= 0.01) return fmt::format("{:.2f}", value);
  return fmt::format("{:.2g}", value);
}

std::string percent_text(double share) {
  if (std::isnan(share)) return "-";
  const double percent = 100.0 * share;
  return percent > 0 && percent < 1 ? fmt::format("{:.1g} %", percent)
                                    : fmt::format("{:.0f} %", percent);
}

std::string count_text(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string interval_text(double value, double low, double high) {
  if (std::isnan(low) || std::isnan(high)) return number_text(value);
  return fmt::format("{} (95% interval {} to {})", number_text(value), number_text(low),
                     number_text(high));
}

std::string list_text(std::span<const std::string> items) {
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) text += i + 1 == items.size() ? " and " : ", ";
    text += items[i];
  }
  return text;
}

double median_of(std::span<const double> values) {
  std::vector<double> defined;
  std::copy_if(values.begin(), values.end(), std::back_inserter(defined),
               [](double value) { return !std::isnan(value); });
  if (defined.empty()) return std::numeric_limits<double>::quiet_NaN();
  return quantile(defined, 0.5);
}

}  // namespace toplens
