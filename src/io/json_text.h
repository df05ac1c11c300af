#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace toplens {

/// JSON files of a checkpoint have at most so many bytes: the limit of safetensors' own headers,
/// many times the largest tokenizer.json that is known.
inline constexpr std::uint64_t kLargestJsonFile = 100'000'000;

/// Parses a JSON text from a file that is not trusted: nesting is bounded, and a key that occurs
/// twice in one object is an error. `where` names the file. Throws Error naming line and column.
nlohmann::json parse_json(std::string_view text, const std::string& where);

/// A string from a file, for a one-line message: in single quotes, control characters escaped, cut
/// where it is long.
std::string in_quotes(std::string_view text);

/// A JSON value for a message: scalars as written, "a list" or "an object" else.
std::string described(const nlohmann::json& value);

}  // namespace toplens
