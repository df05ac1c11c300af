#include "corpus/json_lines.h"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include <toplens/error.h>

#include "base/utf8.h"
#include "io/atomic_file.h"

namespace toplens {

namespace {

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

/// Takes the lines one after the other.
class LineChecker {
 public:
  LineChecker(std::string where, std::size_t max_line_bytes, const JsonLineReader& read)
      : where_(std::move(where)), max_line_bytes_(max_line_bytes), read_(read) {}

  /// Of the line that comes next, as far as it is known.
  void check_length(std::size_t bytes) const {
    if (bytes <= max_line_bytes_) return;
    throw Error(fmt::format("{}: line {}: the line has more than {} bytes, the most that is read",
                            where_, number_ + 1, max_line_bytes_));
  }

  void take(std::string_view line) {
    check_length(line.size());
    ++number_;
    if (is_blank(line)) {
      if (blank_line_ == 0) blank_line_ = number_;
      return;
    }
    if (blank_line_ != 0) {
      throw Error(fmt::format("{}: line {} is blank; blank lines are allowed at the end only",
                              where_, blank_line_));
    }
    const std::string place = fmt::format("{}: line {}", where_, number_);
    if (const auto offset = find_invalid_utf8(line)) {
      throw Error(fmt::format("{}: invalid UTF-8 at byte {} (0x{:02X}); the text must be UTF-8",
                              place, *offset, static_cast<unsigned char>(line[*offset])));
    }
    read_(line, number_, place);
  }

 private:
  std::string where_;
  std::size_t max_line_bytes_;
  const JsonLineReader& read_;
  std::size_t number_ = 0;      // of lines taken
  std::size_t blank_line_ = 0;  // the first since the last record
};

}  // namespace

void for_each_json_line(std::string_view contents, const std::string& where,
                        std::size_t max_line_bytes, const JsonLineReader& read) {
  LineChecker lines(where, max_line_bytes, read);
  while (!contents.empty()) {
    const std::size_t end = std::min(contents.find('\n'), contents.size());
    lines.take(contents.substr(0, end));
    contents.remove_prefix(std::min(end + 1, contents.size()));
  }
}

void for_each_json_line(const std::filesystem::path& path, std::size_t max_line_bytes,
                        const JsonLineReader& read) {
  LineChecker lines(path.string(), max_line_bytes, read);
  std::string begun;  // a line whose end is not read yet
  read_in_pieces(path, [&](std::string_view piece) {
    for (std::size_t end = piece.find('\n'); end != piece.npos; end = piece.find('\n')) {
      lines.check_length(begun.size() + end);
      begun += piece.substr(0, end);
      lines.take(begun);
      begun.clear();
      piece.remove_prefix(end + 1);
    }
    lines.check_length(begun.size() + piece.size());
    begun += piece;
  });
  if (!begun.empty()) lines.take(begun);
}

}  // namespace toplens
