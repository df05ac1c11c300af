#include "model/config_reader.h"

#include <fmt/format.h>
#include <toplens/error.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "io/json_text.h"

namespace toplens {

using nlohmann::json;

ConfigReader::ConfigReader(const json& object, std::string where, std::string prefix)
    : object_(object), where_(std::move(where)), prefix_(std::move(prefix)) {
  if (object.is_object()) return;
  const std::string name = prefix_.empty() ? "" : fmt::format("key '{}' ", prefix_);
  throw Error(fmt::format("{}: {}is {}, expected an object", where_, name, described(object)));
}

bool ConfigReader::has(std::string_view key) {
  read_.emplace(key);
  return object_.contains(std::string(key));
}

bool ConfigReader::has_value(std::string_view key) { return has(key) && !value(key).is_null(); }

void ConfigReader::ignore(std::string_view key) { read_.emplace(key); }

const json& ConfigReader::value(std::string_view key) {
  read_.emplace(key);
  const auto found = object_.find(std::string(key));
  if (found == object_.end()) fail_missing(key);
  return *found;
}

int ConfigReader::integer(std::string_view key, int least, int most, std::optional<int> fallback) {
  if (!has(key) && fallback) return *fallback;
  const json& found = value(key);
  const std::string expected = fmt::format("an integer from {} to {}", least, most);
  // Unsigned values beyond int64 would wrap in get<int64>().
  if (!found.is_number_integer() ||
      (found.is_number_unsigned() && found.get<std::uint64_t>() > std::uint64_t{1} << 62)) {
    fail(key, expected);
  }
  const auto number = found.get<std::int64_t>();
  if (number < least || number > most) fail(key, expected);
  return static_cast<int>(number);
}

double ConfigReader::positive_number(std::string_view key, std::optional<double> fallback) {
  if (!has(key) && fallback) return *fallback;
  const json& found = value(key);
  if (!found.is_number()) fail(key, "a number > 0");
  const auto number = found.get<double>();
  if (!std::isfinite(number) || !(number > 0.0)) fail(key, "a number > 0");
  return number;
}

bool ConfigReader::boolean(std::string_view key, bool fallback) {
  if (!has(key)) return fallback;
  const json& found = value(key);
  if (!found.is_boolean()) fail(key, "true or false");
  return found.get<bool>();
}

std::string ConfigReader::text(std::string_view key, std::optional<std::string> fallback) {
  if (!has(key) && fallback) return *fallback;
  const json& found = value(key);
  if (!found.is_string()) fail(key, "a string");
  return found.get<std::string>();
}

std::vector<std::string> ConfigReader::unread() const {
  std::vector<std::string> keys;
  for (const auto& [key, unused] : object_.items()) {
    if (read_.count(key) == 0) keys.push_back(key);
  }
  return keys;
}

std::string ConfigReader::read_keys() const { return fmt::format("{}", fmt::join(read_, ", ")); }

void ConfigReader::fail(std::string_view key, std::string_view expected) {
  throw Error(fmt::format("{}: key {} is {}, expected {}", where_,
                          in_quotes(prefix_ + std::string(key)), described(value(key)), expected));
}

void ConfigReader::fail_missing(std::string_view key) {
  throw Error(fmt::format("{}: key {} is missing", where_, in_quotes(prefix_ + std::string(key))));
}

}  // namespace toplens
