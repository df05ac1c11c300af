#include "io/temporary_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <toplens/error.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <limits>
#include <optional>
#include <regex>
#include <string>

#include "io/system_error.h"

namespace toplens {
namespace {

// Reserved on each file name for the suffix below, within the usual limit of 255 bytes.
constexpr std::size_t kLongestStem = 200;
constexpr int kAttempts = 1000;

std::filesystem::path directory_of(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
}

void sync_directory(const std::filesystem::path& directory) {
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;  // a directory may be writable and not readable
  const int reason = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // EINVAL: this file system has no fsync of directories.
  if (reason != 0 && reason != EINVAL) throw_system_error(directory, "cannot sync", reason);
}

/// The process that made a temporary file of this name; none for other names.
std::optional<pid_t> maker_of(const std::string& name) {
  static const std::regex kPattern(R"(\.[^/]+\.([0-9]{1,9})-[0-9]{1,4}\.tmp)");
  std::smatch match;
  if (!std::regex_match(name, match, kPattern)) return std::nullopt;
  return std::stoi(match[1]);
}

std::string stem_of(const std::filesystem::path& destination) {
  return destination.filename().string().substr(0, kLongestStem);
}

}  // namespace

TemporaryFile::TemporaryFile(const std::filesystem::path& destination) : destination_(destination) {
  if (!destination.has_filename()) {
    throw Error(fmt::format("{}: cannot write: not a file name", destination.string()));
  }
  std::error_code ignored;
  if (std::filesystem::is_directory(destination, ignored)) {
    throw_system_error(destination, "cannot write", EISDIR);
  }
  const std::string stem = stem_of(destination);
  // The process id separates processes, the number separates files of this process (and what a
  // killed process of the same id has left).
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    path_ = directory_of(destination) / fmt::format(".{}.{}-{}.tmp", stem, ::getpid(), attempt);
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ >= 0) return;
    if (errno != EEXIST) break;
  }
  throw_system_error(destination, "cannot write", errno);
}

TemporaryFile::~TemporaryFile() {
  close();
  if (!published_) ::unlink(path_.c_str());
}

void TemporaryFile::close() noexcept {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

void TemporaryFile::reserve(std::uint64_t bytes) {
  if (bytes > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) {
    throw_system_error(destination_, fmt::format("cannot reserve {} bytes", bytes), EFBIG);
  }
  const auto size = static_cast<off_t>(bytes);
  if (size == 0) return;
  int reason = 0;
  do {
    reason = ::fallocate(descriptor_, 0, 0, size) == 0 ? 0 : errno;
  } while (reason == EINTR);
  if (reason == EOPNOTSUPP || reason == ENOSYS) {
    // posix_fallocate would now write to every block. Checking the free space instead catches a
    // disk that is too small from the start.
    struct statvfs file_system {};
    const bool known = ::fstatvfs(descriptor_, &file_system) == 0 && file_system.f_frsize > 0;
    if (known && bytes / file_system.f_frsize >= file_system.f_bavail) {
      reason = ENOSPC;
    } else {
      reason = ::ftruncate(descriptor_, size) == 0 ? 0 : errno;
    }
  }
  if (reason != 0) {
    throw_system_error(destination_, fmt::format("cannot reserve {} bytes", bytes), reason);
  }
}

void TemporaryFile::write(std::uint64_t offset, const void* data, std::size_t bytes) {
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::pwrite(descriptor_, from, bytes, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      throw_system_error(destination_, "cannot write", written < 0 ? errno : ENOSPC);
    }
    from += written;
    offset += static_cast<std::uint64_t>(written);
    bytes -= static_cast<std::size_t>(written);
  }
}

void TemporaryFile::publish() {
  // Opened again by name: a writer that was given path() may have replaced the file.
  const int named = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (named < 0) throw_system_error(destination_, "cannot read back what was written", errno);
  const int reason = ::fsync(named) == 0 ? 0 : errno;
  ::close(named);
  if (reason != 0) throw_system_error(destination_, "cannot sync", reason);
  close();
  if (::rename(path_.c_str(), destination_.c_str()) != 0) {
    throw_system_error(destination_, "cannot rename the finished file to this name", errno);
  }
  published_ = true;
  sync_directory(directory_of(destination_));
}

bool is_abandoned(const std::filesystem::path& path) {
  const std::optional<pid_t> maker = maker_of(path.filename().string());
  return maker && ::kill(*maker, 0) != 0 && errno == ESRCH;
}

void remove_abandoned(const std::filesystem::path& destination) {
  const std::string prefix = fmt::format(".{}.", stem_of(destination));
  std::error_code ignored;  // where the directory cannot be read, writing will say so
  for (const auto& entry :
       std::filesystem::directory_iterator(directory_of(destination), ignored)) {
    const std::string name = entry.path().filename().string();
    const std::string rest = name.starts_with(prefix) ? name.substr(prefix.size()) : "";
    // ".a.12-0.tmp" belongs to a, ".a.b.12-0.tmp" to a.b.
    if (std::count(rest.begin(), rest.end(), '.') == 1 && is_abandoned(entry.path())) {
      std::filesystem::remove(entry.path(), ignored);
    }
  }
}

}  // namespace toplens
