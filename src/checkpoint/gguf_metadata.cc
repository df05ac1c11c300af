#include <fmt/format.h>
#include <toplens/error.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "checkpoint/gguf_header.h"
#include "checkpoint/gguf_types.h"
#include "io/json_text.h"

namespace toplens {
namespace {

template <typename Number>
Number read(std::span<const std::byte> bytes, std::uint64_t index) {
  Number value = 0;
  std::memcpy(&value, bytes.data() + index * sizeof(value), sizeof(value));
  return value;
}

/// Element `index` as an integer, none for other types and for what does not fit.
std::optional<std::int64_t> integer_at(const GgufValue& value, std::uint64_t index) {
  switch (value.type) {
    case GgufType::u8:
      return read<std::uint8_t>(value.bytes, index);
    case GgufType::i8:
      return read<std::int8_t>(value.bytes, index);
    case GgufType::u16:
      return read<std::uint16_t>(value.bytes, index);
    case GgufType::i16:
      return read<std::int16_t>(value.bytes, index);
    case GgufType::u32:
      return read<std::uint32_t>(value.bytes, index);
    case GgufType::i32:
      return read<std::int32_t>(value.bytes, index);
    case GgufType::i64:
      return read<std::int64_t>(value.bytes, index);
    case GgufType::u64: {
      const auto number = read<std::uint64_t>(value.bytes, index);
      if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return std::nullopt;
      }
      return static_cast<std::int64_t>(number);
    }
    case GgufType::f32:
    case GgufType::f64:
    case GgufType::boolean:
    case GgufType::text:
    case GgufType::array:
      break;
  }
  return std::nullopt;
}

double shortest_decimal(float value) {
  std::array<char, 32> digits{};
  const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  double number = 0;
  std::from_chars(digits.data(), written.ptr, number);
  return number;
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string described(const GgufValue& value) {
  if (value.is_array) return fmt::format("an array of {}", value.count);
  if (value.type == GgufType::text) return in_quotes(as_text(value.bytes));
  if (value.type == GgufType::boolean) return read<std::uint8_t>(value.bytes, 0) ? "true" : "false";
  if (value.type == GgufType::f32) return fmt::format("{}", read<float>(value.bytes, 0));
  if (value.type == GgufType::f64) return fmt::format("{}", read<double>(value.bytes, 0));
  if (value.type == GgufType::u64) return fmt::format("{}", read<std::uint64_t>(value.bytes, 0));
  return fmt::format("{}", integer_at(value, 0).value_or(0));
}

}  // namespace

const GgufValue& GgufMetadata::at(std::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) {
    throw Error(fmt::format("{}: key {} is missing", where_, in_quotes(key)));
  }
  return found->second;
}

void GgufMetadata::fail(std::string_view key, std::string_view expected) const {
  throw Error(fmt::format("{}: key {} is {}, expected {}", where_, in_quotes(key),
                          described(at(key)), expected));
}

std::int64_t GgufMetadata::integer(std::string_view key, std::int64_t least, std::int64_t most,
                                   std::optional<std::int64_t> fallback) const {
  if (!has(key) && fallback) return *fallback;
  const GgufValue& value = at(key);
  const auto number = value.is_array ? std::nullopt : integer_at(value, 0);
  if (!number || *number < least || *number > most) {
    fail(key, fmt::format("an integer from {} to {}", least, most));
  }
  return *number;
}

double GgufMetadata::number(std::string_view key, std::optional<double> fallback) const {
  if (!has(key) && fallback) return *fallback;
  const GgufValue& value = at(key);
  double number = std::numeric_limits<double>::quiet_NaN();
  if (!value.is_array && value.type == GgufType::f32) {
    const auto single = read<float>(value.bytes, 0);
    if (std::isfinite(single)) number = shortest_decimal(single);
  } else if (!value.is_array && value.type == GgufType::f64) {
    number = read<double>(value.bytes, 0);
  } else if (const auto integer = value.is_array ? std::nullopt : integer_at(value, 0)) {
    number = static_cast<double>(*integer);
  }
  if (!std::isfinite(number)) fail(key, "a finite number");
  return number;
}

bool GgufMetadata::boolean(std::string_view key, bool fallback) const {
  if (!has(key)) return fallback;
  const GgufValue& value = at(key);
  if (value.is_array || value.type != GgufType::boolean) fail(key, "true or false");
  const auto byte = read<std::uint8_t>(value.bytes, 0);
  if (byte > 1) fail(key, "true or false (1 or 0)");
  return byte == 1;
}

std::string_view GgufMetadata::text(std::string_view key) const {
  const GgufValue& value = at(key);
  if (value.is_array || value.type != GgufType::text) fail(key, "a text");
  return as_text(value.bytes);
}

const GgufValue& GgufMetadata::array(std::string_view key, std::string_view expected) const {
  const GgufValue& value = at(key);
  if (!value.is_array) fail(key, expected);
  return value;
}

std::vector<std::string_view> GgufMetadata::texts(std::string_view key) const {
  constexpr std::string_view kExpected = "an array of texts";
  const GgufValue& value = array(key, kExpected);
  if (value.type != GgufType::text) fail(key, kExpected);
  std::vector<std::string_view> texts;
  texts.reserve(value.count);  // each has at least its length in the file
  const std::string_view bytes = as_text(value.bytes);
  // The lengths were checked; a file that changes meanwhile must not lead out of it all the same.
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= bytes.size();) {
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data() + at, sizeof(length));
    at += sizeof(length);
    texts.push_back(bytes.substr(at, length));
    at += texts.back().size();
  }
  return texts;
}

std::vector<float> GgufMetadata::floats(std::string_view key) const {
  constexpr std::string_view kExpected = "an array of float32";
  const GgufValue& value = array(key, kExpected);
  if (value.type != GgufType::f32) fail(key, kExpected);
  std::vector<float> numbers(value.count);
  for (std::uint64_t i = 0; i < value.count; ++i) numbers[i] = read<float>(value.bytes, i);
  return numbers;
}

std::vector<std::int64_t> GgufMetadata::integers(std::string_view key) const {
  constexpr std::string_view kExpected = "an array of integers";
  const GgufValue& value = array(key, kExpected);
  std::vector<std::int64_t> numbers;
  numbers.reserve(value.count);
  for (std::uint64_t i = 0; i < value.count; ++i) {
    const auto number = integer_at(value, i);
    if (!number) fail(key, kExpected);
    numbers.push_back(*number);
  }
  return numbers;
}

std::vector<std::string_view> GgufMetadata::keys() const {
  std::vector<std::string_view> keys;
  for (const auto& [key, value] : values_) keys.push_back(key);
  return keys;
}

}  // namespace toplens
