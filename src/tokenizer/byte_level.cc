#include "tokenizer/byte_level.h"

#include <array>
#include <cstdint>

#include "base/utf8.h"

namespace toplens {

namespace {

struct Alphabet {
  std::array<std::string, 256> character;
  std::array<int, 0x180> byte;  // by code point; -1 where none

  Alphabet() {
    byte.fill(-1);
    std::int32_t next = 0x100;
    for (int b = 0; b < 256; ++b) {
      const bool printable =
          (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
      const std::int32_t code_point = printable ? b : next++;
      append_utf8(character[static_cast<std::size_t>(b)], code_point);
      byte[static_cast<std::size_t>(code_point)] = b;
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

}  // namespace

std::string_view byte_level_character(unsigned char byte) { return alphabet().character[byte]; }

std::string to_byte_level(std::string_view bytes) {
  std::string piece;
  piece.reserve(bytes.size() * 2);
  for (const char byte : bytes) piece += byte_level_character(static_cast<unsigned char>(byte));
  return piece;
}

std::optional<std::string> from_byte_level(std::string_view piece) {
  std::string bytes;
  bytes.reserve(piece.size());
  for (std::size_t i = 0; i < piece.size(); i += utf8_length(piece[i])) {
    const auto code_point = static_cast<std::uint32_t>(utf8_code_point(piece, i));
    if (code_point >= alphabet().byte.size() || alphabet().byte[code_point] < 0) {
      return std::nullopt;
    }
    bytes += static_cast<char>(alphabet().byte[code_point]);
  }
  return bytes;
}

}  // namespace toplens
