#include "cli/verify_results.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <toplens/error.h>

#include "io/atomic_file.h"
#include "io/json_text.h"
#include "results/netcdf_file.h"

namespace toplens {
namespace {

/// Up to the separator, which goes too.
std::string_view take(std::string_view& text, char separator) {
  const std::string_view piece = text.substr(0, text.find(separator));
  text.remove_prefix(std::min(piece.size() + 1, text.size()));
  return piece;
}

std::string_view nth(std::string_view text, char separator, std::size_t index) {
  for (std::size_t i = 0; i < index; ++i) take(text, separator);
  return take(text, separator);
}

}  // namespace

std::string first_text_difference(std::string_view recorded, std::string_view computed, bool csv) {
  const std::string_view header = nth(computed, '\n', 0);
  for (std::size_t line = 1; !recorded.empty() || !computed.empty(); ++line) {
    std::string_view there = take(recorded, '\n'), here = take(computed, '\n');
    if (there == here) continue;
    const auto cells = [](std::string_view text) {
      return std::count(text.begin(), text.end(), ',');
    };
    if (!csv || line == 1 || cells(there) != cells(here)) {
      return fmt::format("line {}: {} in the file, {} from the parts", line, in_quotes(there),
                         in_quotes(here));
    }
    for (std::size_t column = 0;; ++column) {
      const std::string_view cell = take(there, ','), other = take(here, ',');
      if (cell == other) continue;
      return fmt::format("line {}, column {}: {} in the file, {} from the parts", line,
                         in_quotes(nth(header, ',', column)), in_quotes(cell), in_quotes(other));
    }
  }
  return "";
}

void ResultComparison::write_dataset(std::string_view file_name, const Dataset& dataset) {
  files_.emplace_back(file_name);
  try {
    DatasetDifference found = compare_datasets(read_netcdf(directory_ / file_name), dataset);
    if (!found.structure.empty()) {
      unusable_.push_back(fmt::format("{}: {}", file_name, found.structure));
      return;
    }
    if (found.largest)
      found.largest->variable = fmt::format("{}: {}", file_name, found.largest->variable);
    if (!found.far_variable.empty())
      found.far_variable = fmt::format("{}: {}", file_name, found.far_variable);
    merge(datasets_, found);
  } catch (const Error& error) {
    unusable_.emplace_back(error.what());
  }
}

void ResultComparison::write_text(std::string_view file_name, std::string_view contents) {
  files_.emplace_back(file_name);
  try {
    const std::string there = read_text_file(directory_ / file_name);
    if (there == contents) return;
    texts_.push_back(fmt::format(
        "{}: {}", file_name, first_text_difference(there, contents, file_name.ends_with(".csv"))));
  } catch (const Error& error) {
    unusable_.emplace_back(error.what());
  }
}

std::string describe(const DatasetDifference& difference) {
  if (!difference.structure.empty()) return difference.structure;
  if (!difference.largest) return fmt::format("{} values are the same", difference.values);
  const UnequalValue& largest = *difference.largest;
  return fmt::format("{} of {} values differ, most {} ({}): {} recorded, {} computed now",
                     difference.unequal, difference.values, largest.variable, largest.place,
                     largest.recorded, largest.computed);
}

double most_far_values(std::string_view compute) {
  // Measured between AVX-512 and AVX2 on the demo model: 0.0001 in f32, 0.04 in bf16.
  return compute == "f32" ? 0.01 : 0.1;
}

bool is_too_far(const DatasetDifference& difference, double most_far_values) {
  return difference.far_values > 1 && difference.far_share > most_far_values;
}

}  // namespace toplens
