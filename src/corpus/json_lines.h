#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace toplens {

/// A longer line of a JSON-lines file is refused.
inline constexpr std::size_t kMaxJsonLineBytes = std::size_t{64} << 20;

/// One line that holds a record; `place` is "FILE: line 3".
using JsonLineReader =
    std::function<void(std::string_view line, std::size_t number, const std::string& place)>;

/// Calls `read` for each line, which is UTF-8. Blank lines are allowed at the end only. `where`
/// names the file in messages.
void for_each_json_line(std::string_view contents, const std::string& where,
                        std::size_t max_line_bytes, const JsonLineReader& read);
/// The lines of a file or pipe, of which memory holds one.
void for_each_json_line(const std::filesystem::path& path, std::size_t max_line_bytes,
                        const JsonLineReader& read);

}  // namespace toplens
