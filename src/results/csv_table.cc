#include "results/csv_table.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include <fmt/format.h>

namespace toplens {
namespace {

std::string csv_text(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted(1, '"');
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  quoted.push_back('"');
  return quoted;
}

std::string cell(const ArrayValues& values, std::size_t row) {
  return std::visit(
      [&](const auto& column) -> std::string {
        using T = typename std::decay_t<decltype(column)>::value_type;
        if constexpr (std::is_same_v<T, std::string>) {
          return csv_text(column[row]);
        } else if constexpr (std::is_floating_point_v<T>) {
          return std::isnan(column[row]) ? "" : fmt::format("{}", column[row]);
        } else {
          return fmt::format("{}", column[row]);
        }
      },
      values);
}

}  // namespace

void CsvTable::add_column(const std::string& name, ArrayValues values) {
  assert(size(values) == num_rows_);
  assert(std::none_of(columns_.begin(), columns_.end(),
                      [&](const Column& column) { return column.name == name; }));
  columns_.push_back({name, std::move(values)});
}

std::string CsvTable::to_csv() const {
  std::string csv;
  const auto add_line = [&](const auto& text_of) {
    for (const Column& column : columns_) {
      if (&column != columns_.data()) csv.push_back(',');
      csv.append(text_of(column));
    }
    csv.push_back('\n');
  };
  add_line([](const Column& column) { return csv_text(column.name); });
  for (std::size_t row = 0; row < num_rows_; ++row)
    add_line([&](const Column& column) { return cell(column.values, row); });
  return csv;
}

}  // namespace toplens
