#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace toplens {

/// Reads the keys of one JSON object and remembers which it was asked for: what is left is what
/// nobody understands. Every failure is an Error that names file, key, value found and what was
/// expected.
class ConfigReader {
 public:
  /// `object` must outlive the reader. `prefix` is put before keys in messages ("rope_scaling.").
  /// Throws Error where `object` is no JSON object.
  ConfigReader(const nlohmann::json& object, std::string where, std::string prefix = "");

  bool has(std::string_view key);                     ///< present, maybe null
  bool has_value(std::string_view key);               ///< present and not null
  void ignore(std::string_view key);                  ///< as if read, whatever its value
  const nlohmann::json& value(std::string_view key);  ///< must be present

  /// An integer of [least, most]; absent: `fallback`, or an error where there is none. null is an
  /// error.
  int integer(std::string_view key, int least, int most, std::optional<int> fallback = {});
  /// A finite number > 0; the same rule for absent keys.
  double positive_number(std::string_view key, std::optional<double> fallback = {});
  bool boolean(std::string_view key, bool fallback);
  std::string text(std::string_view key, std::optional<std::string> fallback = {});

  /// Keys that nobody has asked for.
  std::vector<std::string> unread() const;
  /// Keys that somebody has asked for, as a list for messages.
  std::string read_keys() const;

  [[noreturn]] void fail(std::string_view key, std::string_view expected);
  [[noreturn]] void fail_missing(std::string_view key);
  const std::string& where() const { return where_; }

 private:
  const nlohmann::json& object_;
  std::string where_;
  std::string prefix_;
  std::set<std::string, std::less<>> read_;
};

}  // namespace toplens
