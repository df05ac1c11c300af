#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "support/scratch_directory.h"

namespace toplens::testing {

struct CommandResult {
  int exit_code = -1;  ///< 128 + signal where a signal ended it
  std::string out, err;
};

/// A program that is running: for tests that disturb it.
class RunningCommand {
 public:
  RunningCommand(const std::filesystem::path& program, const std::vector<std::string>& arguments);
  /// Kills it if it was not waited for.
  ~RunningCommand();
  RunningCommand(const RunningCommand&) = delete;
  RunningCommand& operator=(const RunningCommand&) = delete;

  /// Sends a signal; nothing happens to a program that has ended.
  void signal(int number) const;
  /// Whether it has ended, without waiting.
  bool ended();
  /// Waits for its end.
  CommandResult wait();

 private:
  ScratchDirectory scratch_;
  pid_t child_ = 0;
  std::optional<int> status_;
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
