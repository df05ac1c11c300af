#pragma once

#include <filesystem>
#include <string_view>

namespace toplens {

/// Throws Error "path: what: the system's reason" for an errno value; where the place is too small,
/// with what can be done about it.
[[noreturn]] void throw_system_error(const std::filesystem::path& path, std::string_view what,
                                     int error_number);

}  // namespace toplens
