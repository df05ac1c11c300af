#include "corpus/json_lines.h"

#include <algorithm>

#include <fmt/core.h>

#include <toplens/error.h>

#include "base/utf8.h"

namespace toplens {

namespace {

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace

void for_each_json_line(std::string_view contents, const std::string& where,
                        std::size_t max_line_bytes, const JsonLineReader& read) {
  std::size_t blank_line = 0;  // the first since the last record
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < contents.size();) {
    const std::size_t end = std::min(contents.find('\n', begin), contents.size());
    const std::string_view line = contents.substr(begin, end - begin);
    ++number;
    const std::string place = fmt::format("{}: line {}", where, number);
    if (line.size() > max_line_bytes) {
      throw Error(fmt::format("{}: the line has {} bytes, at most {} are read", place, line.size(),
                              max_line_bytes));
    }
    if (is_blank(line)) {
      if (blank_line == 0) blank_line = number;
    } else {
      if (blank_line != 0) {
        throw Error(fmt::format("{}: line {} is blank; blank lines are allowed at the end only",
                                where, blank_line));
      }
      if (const auto offset = find_invalid_utf8(line)) {
        throw Error(fmt::format("{}: invalid UTF-8 at byte {} (0x{:02X}); the text must be UTF-8",
                                place, *offset, static_cast<unsigned char>(line[*offset])));
      }
      read(line, number, place);
    }
    begin = end + 1;
  }
}

}  // namespace toplens
