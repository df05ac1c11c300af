#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace toplens {

/// Offset of the first byte that starts no valid UTF-8 sequence (overlong forms, surrogates and
/// values above U+10FFFF are invalid); none if all of `text` is valid.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

/// Length in bytes of the sequence that starts with `first_byte`, in text known to be valid.
inline std::size_t utf8_length(char first_byte) {
  const auto byte = static_cast<unsigned char>(first_byte);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/// The code point that starts at `position` of text known to be valid.
std::int32_t utf8_code_point(std::string_view text, std::size_t position);

/// Appends the UTF-8 form of a valid code point.
void append_utf8(std::string& text, std::int32_t code_point);

/// `bytes` with every byte that belongs to no valid UTF-8 sequence written as <0xNN>.
std::string printable_utf8(std::string_view bytes);

}  // namespace toplens
