#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace toplens {

/// Writes `contents` to `path` so that the file appears whole or not at all: a temporary file
/// beside it, fsync of file and directory, rename. Throws Error naming the path and the system's
/// reason; then the temporary file is gone.
void write_file_atomically(const std::filesystem::path& path, std::string_view contents);

/// The same for writers that need a path of their own (netCDF): `write` gets the temporary path.
void write_file_atomically(const std::filesystem::path& path,
                           const std::function<void(const std::filesystem::path&)>& write);

/// The whole file as text. Throws Error naming the path.
std::string read_text_file(const std::filesystem::path& path);

}  // namespace toplens
