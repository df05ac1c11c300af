#include "bench/report.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <toplens/error.h>

#include "io/atomic_file.h"

namespace toplens::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kBegin = "<!-- table: scripts/bench --readme writes it -->\n";
constexpr std::string_view kEnd = "<!-- end of table -->\n";

std::string number(double value) {
  if (value == 0) return "0";
  const int digits =
      std::clamp(2 - static_cast<int>(std::floor(std::log10(std::abs(value)))), 0, 6);
  return fmt::format("{:.{}f}", value, digits);
}

std::string percent(double share) { return fmt::format("{:.1f}%", 100 * share); }

std::string spread(const Json& row) {
  const auto samples = row["samples"].get<std::vector<double>>();
  if (samples.size() < 2) return "";
  const auto [least, most] = std::minmax_element(samples.begin(), samples.end());
  return fmt::format(" ({} to {})", number(*least), number(*most));
}

std::string target_text(const Json& row) {
  if (!row.contains("target")) return "";
  const auto target = row["target"].get<double>();
  const auto share = row["share"].get<double>();
  const bool cost = row["share_is_cost"].get<bool>();
  return fmt::format("{} {}: {}", cost ? "at most" : "at least", percent(target),
                     (cost ? share <= target : share >= target) ? "met" : "**missed**");
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) throw Error("no samples");
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Json to_json(const Row& row) {
  Json json;
  json["what"] = row.what;
  json["unit"] = row.unit;
  json["median"] = median(row.samples);
  json["samples"] = row.samples;
  json["higher_is_better"] = row.higher_is_better;
  if (!row.shares.empty()) {
    json["limit"] = row.limit;
    json["share"] = median(row.shares);
    json["shares"] = row.shares;
    json["share_is_cost"] = row.share_is_cost;
    if (row.target) json["target"] = *row.target;
  }
  json["bound"] = row.bound;
  return json;
}

Json read_result(const std::filesystem::path& path) {
  try {
    Json json = Json::parse(read_text_file(path));
    if (!json.at("rows").is_object()) throw Error(path.string() + ": 'rows' is no object");
    return json;
  } catch (const Json::exception& error) {
    throw Error(fmt::format("{}: is no result of a benchmark: {}", path.string(), error.what()));
  }
}

void merge_rows(Json& result, const std::vector<Row>& rows) {
  for (const Row& row : rows) result["rows"][row.name] = to_json(row);
}

std::string markdown(const Json& result) {
  std::string text;
  const Json& machine = result["machine"];
  text += fmt::format(
      "{}, {} threads; toplens {}; {}. Median of the rounds, least and most in "
      "brackets.\n\n",
      machine["cpu"].get<std::string>(), machine["threads"].get<int>(),
      machine["commit"].get<std::string>(), machine["date"].get<std::string>());
  text += "| what | measured | of its limit | target | bounded by |\n|---|---|---|---|---|\n";
  for (const auto& [name, row] : result["rows"].items()) {
    const std::string share = row.contains("share")
                                  ? fmt::format("{} of {}", percent(row["share"].get<double>()),
                                                row["limit"].get<std::string>())
                                  : "";
    text += fmt::format("| {} | {} {}{} | {} | {} | {} |\n", row["what"].get<std::string>(),
                        number(row["median"].get<double>()), row["unit"].get<std::string>(),
                        spread(row), share, target_text(row), row["bound"].get<std::string>());
  }
  return text;
}

void replace_table(const std::filesystem::path& file, const std::string& table) {
  std::string text = read_text_file(file);
  const std::size_t begin = text.find(kBegin);
  const std::size_t end = text.find(kEnd);
  if (begin == text.npos || end == text.npos || end < begin) {
    throw Error(fmt::format("{}: has no place for the table between '{}' and '{}'", file.string(),
                            kBegin.substr(0, kBegin.size() - 1), kEnd.substr(0, kEnd.size() - 1)));
  }
  text.replace(begin + kBegin.size(), end - begin - kBegin.size(), table);
  write_file_atomically(file, text);
}

std::string comparison(const Json& before, const Json& now) {
  std::string text;
  for (const auto& [name, row] : now["rows"].items()) {
    if (!before["rows"].contains(name)) {
      text += fmt::format("{:<28} {:>10} {}: new\n", name, number(row["median"].get<double>()),
                          row["unit"].get<std::string>());
      continue;
    }
    const Json& old = before["rows"][name];
    const auto was = old["median"].get<double>();
    const auto is = row["median"].get<double>();
    // Against the limit of its own run: what a noisier machine does not change.
    const std::string shares =
        row.contains("share") && old.contains("share")
            ? fmt::format(", of its limit {} -> {}", percent(old["share"].get<double>()),
                          percent(row["share"].get<double>()))
            : "";
    text +=
        fmt::format("{:<28} {:>10} -> {:>10} {} ({:+.1f}%, {} is better){}\n", name, number(was),
                    number(is), row["unit"].get<std::string>(), 100 * (is - was) / was,
                    row["higher_is_better"].get<bool>() ? "more" : "less", shares);
  }
  return text;
}

}  // namespace toplens::bench
