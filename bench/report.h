#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace toplens::bench {

/// One line of the table: a measured quantity, and how far it is from what bounds it.
struct Row {
  std::string name;  ///< key of the JSON and of comparisons
  std::string what;
  std::string unit;
  std::vector<double> samples;  ///< one for each round; the median counts
  bool higher_is_better = true;
  std::string limit;             ///< what `shares` are of; empty for a limit itself
  std::vector<double> shares;    ///< of the limit, measured in the same round
  std::optional<double> target;  ///< for the share: at least, or at most where it is a cost
  bool share_is_cost = false;
  std::string bound;  ///< what keeps it from its limit, in words
};

double median(std::vector<double> values);

nlohmann::ordered_json to_json(const Row& row);

/// A result as it lies in result.json: {"machine": {...}, "rows": {name: {...}}}.
nlohmann::ordered_json read_result(const std::filesystem::path& path);
/// Adds or replaces these rows, keeps the others.
void merge_rows(nlohmann::ordered_json& result, const std::vector<Row>& rows);

/// The table of all rows.
std::string markdown(const nlohmann::ordered_json& result);
/// Puts the table between the markers of the file. Throws Error where there are none.
void replace_table(const std::filesystem::path& file, const std::string& table);
/// A line for each row of both: before, now, change.
std::string comparison(const nlohmann::ordered_json& before, const nlohmann::ordered_json& now);

}  // namespace toplens::bench
