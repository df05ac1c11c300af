#include <fmt/core.h>
#include <toplens/error.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "base/narrow.h"
#include "io/json_text.h"
#include "io/npy.h"

namespace toplens {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::array<std::string_view, 5> kSupported = {"<f4", "<f8", "<f2", "<i4", "<i8"};

/// The Python literal that a header is: a dict of exactly descr, fortran_order and shape.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  NpyHeader parse() {
    NpyHeader header;
    std::optional<bool> fortran_order;
    bool has_dtype = false;
    bool has_shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr" && !has_dtype) {
        header.dtype = dtype();
        has_dtype = true;
      } else if (key == "fortran_order" && !fortran_order) {
        fortran_order = boolean();
      } else if (key == "shape" && !has_shape) {
        header.shape = tuple();
        has_shape = true;
      } else {
        fail(fmt::format("unexpected or repeated key {}", in_quotes(key)));
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (!text_.empty()) fail("something follows its dictionary");
    if (!has_dtype) fail("'descr' is missing");
    if (!fortran_order) fail("'fortran_order' is missing");
    if (!has_shape) fail("'shape' is missing");
    if (*fortran_order) {
      throw Error(
          fmt::format("{}: is in Fortran order; supported is C order "
                      "(numpy.ascontiguousarray before saving)",
                      where_));
    }
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{}: malformed .npy header: {}", where_, what));
  }
  void skip_space() {
    while (!text_.empty() && (text_.front() == ' ' || text_.front() == '\n')) {
      text_.remove_prefix(1);
    }
  }
  bool accept(char c) {
    skip_space();
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(fmt::format("expected '{}' before {}", c, in_quotes(text_.substr(0, 20))));
  }
  bool accept_word(std::string_view word) {
    skip_space();
    if (text_.substr(0, word.size()) != word) return false;
    text_.remove_prefix(word.size());
    return true;
  }
  std::string string() {
    skip_space();
    if (text_.empty() || (text_.front() != '\'' && text_.front() != '"')) {
      fail(fmt::format("expected a string before {}", in_quotes(text_.substr(0, 20))));
    }
    const auto end = text_.find(text_.front(), 1);
    if (end == text_.npos) fail("a string has no end");
    const std::string result(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    return result;
  }
  std::string dtype() {
    skip_space();
    if (!text_.empty() && text_.front() == '[') {
      throw Error(
          fmt::format("{}: has a structured dtype; supported are <f4, <f8, <f2, <i4, <i8", where_));
    }
    return string();
  }
  bool boolean() {
    if (accept_word("True")) return true;
    if (accept_word("False")) return false;
    fail(fmt::format("expected True or False before {}", in_quotes(text_.substr(0, 20))));
  }
  std::uint64_t integer() {
    skip_space();
    std::uint64_t value = 0;
    bool any = false;
    while (!text_.empty() && text_.front() >= '0' && text_.front() <= '9') {
      const auto digit = static_cast<std::uint64_t>(text_.front() - '0');
      if (!checked_multiply(value, 10, value) || !checked_add(value, digit, value)) {
        fail("a dimension is too large");
      }
      text_.remove_prefix(1);
      any = true;
    }
    if (!any) {
      fail(fmt::format("expected a dimension before {}", in_quotes(text_.substr(0, 20))));
    }
    accept('L');  // written by Python 2
    return value;
  }
  std::vector<std::uint64_t> tuple() {
    std::vector<std::uint64_t> shape;
    expect('(');
    if (accept(')')) return shape;
    for (;;) {
      shape.push_back(integer());
      const bool comma = accept(',');
      if (accept(')')) {
        if (shape.size() == 1 && !comma) fail("the shape is no tuple");
        return shape;
      }
      if (!comma) expect(',');
    }
  }

  std::string_view text_;
  const std::string& where_;
};

}  // namespace

NpyHeader parse_npy_header(std::span<const std::byte> file, const std::string& where) {
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  constexpr std::size_t kVersionEnd = 8;
  if (bytes.substr(0, kMagic.size()) != kMagic || bytes.size() < kVersionEnd) {
    throw Error(fmt::format("{}: not a .npy file (it does not begin with \\x93NUMPY)", where));
  }
  const int version = static_cast<unsigned char>(bytes[6]);
  if (version < 1 || version > 3) {
    throw Error(fmt::format("{}: .npy format version {} is not supported (1, 2 and 3 are)", where,
                            version));
  }
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < length_bytes && kVersionEnd + i < bytes.size(); ++i) {
    length |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[kVersionEnd + i]))
              << (8 * i);
  }
  const std::size_t header_begin = kVersionEnd + length_bytes;
  if (bytes.size() < header_begin || length > bytes.size() - header_begin) {
    throw Error(fmt::format("{}: truncated: the .npy header should have {} bytes, the file has {}",
                            where, length, bytes.size()));
  }

  NpyHeader header = HeaderParser(bytes.substr(header_begin, length), where).parse();
  header.data_offset = header_begin + length;
  if (std::find(kSupported.begin(), kSupported.end(), header.dtype) == kSupported.end()) {
    throw Error(fmt::format("{}: dtype {} is not supported (<f4, <f8, <f2, <i4 and <i8 are)", where,
                            in_quotes(header.dtype)));
  }
  std::uint64_t expected = static_cast<std::uint64_t>(header.dtype[2] - '0');
  const bool has_zero = std::count(header.shape.begin(), header.shape.end(), 0u) > 0;
  if (has_zero) expected = 0;
  for (const std::uint64_t dimension : header.shape) {
    if (!has_zero && !checked_multiply(expected, dimension, expected)) {
      throw Error(fmt::format("{}: the shape's number of bytes overflows 64 bits", where));
    }
  }
  const std::uint64_t found = bytes.size() - header.data_offset;
  if (found != expected) {
    throw Error(fmt::format("{}: {} bytes of data, but its shape and dtype {} need {}", where,
                            found, header.dtype, expected));
  }
  return header;
}

}  // namespace toplens
