#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace toplens::testing {

struct CommandResult {
  int exit_code = -1;  ///< 128 + signal where a signal ended it
  std::string out, err;
};

/// Runs a program with these arguments and collects what it prints.
CommandResult run_command(const std::filesystem::path& program,
                          const std::vector<std::string>& arguments);

std::vector<std::string> lines(const std::string& text);

/// A .npy file of int64 (or int32), C order.
void write_npy(const std::filesystem::path& path, const std::vector<std::uint64_t>& shape,
               const std::vector<std::int64_t>& values);
void write_npy_int32(const std::filesystem::path& path, const std::vector<std::uint64_t>& shape,
                     const std::vector<std::int32_t>& values);
void write_npy(const std::filesystem::path& path, const std::vector<std::uint64_t>& shape,
               const std::vector<float>& values);

}  // namespace toplens::testing
