#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>

namespace toplens {

/// An object of a JSON file with its place in it, for messages such as
/// "tokenizer.json: pre_tokenizer.pretokenizers[0]: 'behavior' must be a string". Every key that
/// was not asked for is an error of finish().
class JsonObject {
 public:
  JsonObject(const nlohmann::json& value, std::string where);

  const std::string& where() const { return where_; }
  /// The member, or null if it is absent or null.
  const nlohmann::json* find(const char* key) const;
  const nlohmann::json& at(const char* key) const;
  std::string string(const char* key) const;
  std::optional<std::string> optional_string(const char* key) const;
  bool boolean(const char* key, bool default_value) const;
  std::int32_t token_id(const char* key) const;
  std::size_t count(const char* key) const;
  const nlohmann::json& array(const char* key) const;
  /// Throws Error naming the first key outside `known`.
  void allow_only(std::initializer_list<const char*> known) const;
  [[noreturn]] void fail(const std::string& what) const;

 private:
  const nlohmann::json& value_;
  std::string where_;
};

/// A token id: an integer in [0, 2^31 - 1).
std::int32_t parse_token_id(const nlohmann::json& value, const std::string& where);

}  // namespace toplens
