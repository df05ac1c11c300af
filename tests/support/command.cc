#include "support/command.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include <csignal>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "io/atomic_file.h"
#include "support/safetensors_file.h"

namespace toplens::testing {

RunningCommand::RunningCommand(const std::filesystem::path& program,
                               const std::vector<std::string>& arguments) {
  const std::string out = scratch_ / "out", err = scratch_ / "err", name = program;
  std::vector<char*> argv = {const_cast<char*>(name.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT, 0600);
  const int failed = posix_spawn(&child_, name.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw std::runtime_error("cannot start " + name);
}

RunningCommand::~RunningCommand() {
  if (status_) return;
  ::kill(child_, SIGKILL);
  ::waitpid(child_, nullptr, 0);
}

void RunningCommand::signal(int number) const {
  if (!status_) ::kill(child_, number);
}

bool RunningCommand::ended() {
  int status = 0;
  if (!status_ && ::waitpid(child_, &status, WNOHANG) == child_) status_ = status;
  return status_.has_value();
}

CommandResult RunningCommand::wait() {
  int status = 0;
  if (!status_) {
    if (::waitpid(child_, &status, 0) != child_) throw std::runtime_error("cannot wait");
    status_ = status;
  }
  CommandResult result;
  result.exit_code = WIFEXITED(*status_) ? WEXITSTATUS(*status_) : 128 + WTERMSIG(*status_);
  result.out = read_text_file(scratch_ / "out");
  result.err = read_text_file(scratch_ / "err");
  return result;
}

CommandResult run_command(const std::filesystem::path& program,
                          const std::vector<std::string>& arguments) {
  return RunningCommand(program, arguments).wait();
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> result;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) result.push_back(line);
  return result;
}

namespace {

void write_array(const std::filesystem::path& path, const char* dtype,
                 const std::vector<std::uint64_t>& shape, const char* data, std::size_t bytes) {
  std::string extents;
  for (const std::uint64_t extent : shape) extents += fmt::format("{}, ", extent);
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", dtype, extents);
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(header.size() & 0xff);
  file += static_cast<char>(header.size() >> 8);
  write_bytes(path, file + header + std::string(data, bytes));
}

}  // namespace

void write_npy(const std::filesystem::path& path, const std::vector<std::uint64_t>& shape,
               const std::vector<std::int64_t>& values) {
  write_array(path, "<i8", shape, reinterpret_cast<const char*>(values.data()), 8 * values.size());
}

void write_npy_int32(const std::filesystem::path& path, const std::vector<std::uint64_t>& shape,
                     const std::vector<std::int32_t>& values) {
  write_array(path, "<i4", shape, reinterpret_cast<const char*>(values.data()), 4 * values.size());
}

void write_npy(const std::filesystem::path& path, const std::vector<std::uint64_t>& shape,
               const std::vector<float>& values) {
  write_array(path, "<f4", shape, reinterpret_cast<const char*>(values.data()), 4 * values.size());
}

}  // namespace toplens::testing
