#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <toplens/error.h>

namespace toplens {

/// Walks the fields of a serialized protocol buffer message. Throws Error where the bytes are cut
/// off or malformed.
class WireReader {
 public:
  WireReader(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  /// Moves to the next field; false at the end of the message.
  bool next() {
    if (bytes_.empty()) return false;
    const std::uint64_t tag = varint();
    field_ = tag >> 3;
    number_ = 0;
    payload_ = {};
    switch (tag & 7) {
      case 0:
        number_ = varint();
        break;
      case 1:
        payload_ = take(8);
        break;
      case 2:
        is_bytes_ = true;
        payload_ = take(varint());
        return true;
      case 5:
        payload_ = take(4);
        break;
      default:
        fail();
    }
    is_bytes_ = false;
    return true;
  }

  std::uint64_t field() const { return field_; }
  std::uint64_t number() const { return number_; }
  /// The bytes of a length-delimited field, the only kind that strings and messages have.
  std::string_view bytes() const {
    if (!is_bytes_) fail();
    return payload_;
  }

 private:
  [[noreturn]] void fail() const {
    throw Error(where_ +
                ": not a SentencePiece model: the protocol buffer is malformed or cut off");
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (bytes_.empty()) fail();
      const auto byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail();
  }
  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size()) fail();
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }

  std::string_view bytes_;
  std::string where_;
  std::uint64_t field_ = 0;
  std::uint64_t number_ = 0;
  std::string_view payload_;
  bool is_bytes_ = false;
};

}  // namespace toplens
