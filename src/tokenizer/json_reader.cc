#include "tokenizer/json_reader.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include <toplens/error.h>

#include "io/json_text.h"

namespace toplens {

JsonObject::JsonObject(const nlohmann::json& value, std::string where)
    : value_(value), where_(std::move(where)) {
  if (!value_.is_object()) fail(fmt::format("must be an object, found {}", value_.type_name()));
}

void JsonObject::fail(const std::string& what) const { throw Error(where_ + ": " + what); }

const nlohmann::json* JsonObject::find(const char* key) const {
  const auto found = value_.find(key);
  return found == value_.end() || found->is_null() ? nullptr : &*found;
}

const nlohmann::json& JsonObject::at(const char* key) const {
  const nlohmann::json* member = find(key);
  if (member == nullptr) fail(fmt::format("has no '{}'", key));
  return *member;
}

std::string JsonObject::string(const char* key) const {
  const nlohmann::json& member = at(key);
  if (!member.is_string()) fail(fmt::format("'{}' must be a string", key));
  return member.get<std::string>();
}

std::optional<std::string> JsonObject::optional_string(const char* key) const {
  if (find(key) == nullptr) return std::nullopt;
  return string(key);
}

bool JsonObject::boolean(const char* key, bool default_value) const {
  const nlohmann::json* member = find(key);
  if (member == nullptr) return default_value;
  if (!member->is_boolean()) fail(fmt::format("'{}' must be true or false", key));
  return member->get<bool>();
}

std::int32_t JsonObject::token_id(const char* key) const {
  return parse_token_id(at(key), fmt::format("{}: '{}'", where_, key));
}

std::size_t JsonObject::count(const char* key) const {
  const nlohmann::json& member = at(key);
  if (!member.is_number_integer() || member < 0) fail(fmt::format("'{}' must be a count", key));
  return member.get<std::size_t>();
}

const nlohmann::json& JsonObject::array(const char* key) const {
  const nlohmann::json& member = at(key);
  if (!member.is_array()) fail(fmt::format("'{}' must be an array", key));
  return member;
}

void JsonObject::allow_only(std::initializer_list<const char*> known) const {
  for (const auto& [key, value] : value_.items()) {
    const auto is_key = [&key = key](const char* name) { return key == name; };
    if (std::none_of(known.begin(), known.end(), is_key)) {
      fail(fmt::format("the key {} is not supported", in_quotes(key)));
    }
  }
}

std::int32_t parse_token_id(const nlohmann::json& value, const std::string& where) {
  constexpr std::int64_t limit = std::numeric_limits<std::int32_t>::max();
  // Unsigned values beyond int64 wrap to negative ones.
  const std::int64_t id = value.is_number_integer() ? value.get<std::int64_t>() : -1;
  if (id < 0 || id >= limit) {
    throw Error(where + ": a token id must be an integer from 0 to 2147483646");
  }
  return static_cast<std::int32_t>(id);
}

}  // namespace toplens
