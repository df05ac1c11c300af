#include "base/utf8.h"

#include <utf8proc.h>

#include <fmt/core.h>

namespace toplens {

namespace {

utf8proc_ssize_t decode(std::string_view text, std::size_t position, utf8proc_int32_t& code_point) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  return utf8proc_iterate(bytes + position, static_cast<utf8proc_ssize_t>(text.size() - position),
                          &code_point);
}

}  // namespace

std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
  std::size_t position = 0;
  while (position < text.size()) {
    if (static_cast<unsigned char>(text[position]) < 0x80) {
      ++position;
      continue;
    }
    utf8proc_int32_t code_point = 0;
    const utf8proc_ssize_t length = decode(text, position, code_point);
    if (length <= 0) return position;
    position += static_cast<std::size_t>(length);
  }
  return std::nullopt;
}

std::int32_t utf8_code_point(std::string_view text, std::size_t position) {
  utf8proc_int32_t code_point = 0;
  decode(text, position, code_point);
  return code_point;
}

void append_utf8(std::string& text, std::int32_t code_point) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t length = utf8proc_encode_char(code_point, bytes);
  text.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(length));
}

std::string printable_utf8(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    const std::size_t valid = find_invalid_utf8(bytes).value_or(bytes.size());
    text.append(bytes.substr(0, valid));
    bytes.remove_prefix(valid);
    if (bytes.empty()) break;
    text += fmt::format("<0x{:02X}>", static_cast<unsigned char>(bytes.front()));
    bytes.remove_prefix(1);
  }
  return text;
}

}  // namespace toplens
