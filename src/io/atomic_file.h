#pragma once

#include <cstdint>
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

/// Files that are read as a whole have at most so many bytes.
inline constexpr std::uint64_t kLargestTextFile = std::uint64_t{1} << 30;

/// The whole file as text. Throws Error naming the path, also where it is larger, which a regular
/// file is before anything of it is read.
std::string read_text_file(const std::filesystem::path& path,
                           std::uint64_t most_bytes = kLargestTextFile);

/// Reads a file or pipe from its beginning, a piece of at most 64 KiB at a time. Throws Error
/// naming the path.
void read_in_pieces(const std::filesystem::path& path,
                    const std::function<void(std::string_view piece)>& read);

}  // namespace toplens
