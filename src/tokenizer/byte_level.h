#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace toplens {

/// GPT-2's byte-level alphabet: each byte is written as one printable character, so that a BPE over
/// characters works on any bytes. Bytes that are printable Latin-1 stand for themselves, the others
/// for U+0100 onwards in increasing order.

/// The character that stands for `byte`, in UTF-8.
std::string_view byte_level_character(unsigned char byte);

std::string to_byte_level(std::string_view bytes);

/// The bytes behind a byte-level piece; none if it has a character outside the alphabet.
std::optional<std::string> from_byte_level(std::string_view piece);

}  // namespace toplens
