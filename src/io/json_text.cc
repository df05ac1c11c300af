#include "io/json_text.h"

#include <fmt/core.h>
#include <toplens/error.h>

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

namespace toplens {
namespace {

constexpr int kDeepestNesting = 64;
constexpr std::size_t kLongestQuote = 160;

std::string printable(std::string_view text) {
  std::string result;
  for (const char c : text.substr(0, kLongestQuote)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  if (text.size() > kLongestQuote) {
    // Not in the middle of a UTF-8 sequence.
    while (!result.empty() && (static_cast<unsigned char>(result.back()) & 0xc0) == 0x80) {
      result.pop_back();
    }
    if (!result.empty() && (static_cast<unsigned char>(result.back()) & 0x80) != 0) {
      result.pop_back();
    }
    result += "...";
  }
  return result;
}

}  // namespace

std::string in_quotes(std::string_view text) { return fmt::format("'{}'", printable(text)); }

std::string described(const nlohmann::json& value) {
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  return value.dump();
}

nlohmann::json parse_json(std::string_view text, const std::string& where) {
  using nlohmann::json;
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, json::parse_event_t event, json& value) {
    if (depth > kDeepestNesting) {
      throw Error(fmt::format("{}: JSON is nested more than {} deep", where, kDeepestNesting));
    }
    if (event == json::parse_event_t::object_start) {
      keys.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      if (!keys.back().insert(key).second) {
        throw Error(fmt::format("{}: key {} occurs twice in one object", where, in_quotes(key)));
      }
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), check);
  } catch (const json::exception& error) {
    std::string_view reason = error.what();
    // nlohmann's own prefix, "[json.exception.parse_error.101] "
    if (const auto end = reason.find("] "); end != reason.npos) reason.remove_prefix(end + 2);
    throw Error(fmt::format("{}: not valid JSON: {}", where, printable(reason)));
  }
}

}  // namespace toplens
