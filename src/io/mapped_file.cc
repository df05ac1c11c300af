#include "io/mapped_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <toplens/error.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "io/system_error.h"

namespace toplens {
namespace {

/// Advice about whole pages; a failure costs speed or memory, never correctness.
void advise(std::span<const std::byte> part, int advice) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(part.data()) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(part.data()) + part.size();
  ::madvise(reinterpret_cast<void*>(begin), end - begin,
            advice);  // NOLINT(performance-no-int-to-ptr)
}

FileIdentity identity_of(const struct stat& status) {
  return {status.st_dev, status.st_ino, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  // Without O_NONBLOCK the open of a FIFO would wait for a writer.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) throw_system_error(path, "cannot open", errno);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) {
    const int reason = errno;
    ::close(descriptor);
    throw_system_error(path, "cannot read its size", reason);
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(descriptor);
    throw Error(fmt::format("{}: is {}, expected a regular file", path.string(),
                            S_ISDIR(status.st_mode) ? "a directory" : "no regular file"));
  }
  size_ = static_cast<std::size_t>(status.st_size);
  identity_ = identity_of(status);
  if (size_ > 0) {
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (address == MAP_FAILED) {
      const int reason = errno;
      ::close(descriptor);
      throw_system_error(path, "cannot map", reason);
    }
    data_ = static_cast<const std::byte*>(address);
    guard_ = MappingGuard(bytes());
  }
  ::close(descriptor);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      identity_(other.identity_),
      guard_(std::move(other.guard_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(identity_, other.identity_);
  std::swap(guard_, other.guard_);
  return *this;
}

void MappedFile::check_intact() const {
  struct stat status {};
  // A file whose name is gone is still mapped as it was.
  const bool is_named = ::stat(path_.c_str(), &status) == 0;
  const auto size = static_cast<std::size_t>(status.st_size);
  if (guard_.failed() || (is_named && size != size_)) {
    throw Error(fmt::format(
        "{}: could not be read to its end while it was in use: it had {} bytes when it was opened, "
        "now {}; put the whole file back and run again",
        path_.string(), size_, is_named ? fmt::format("it has {}", size) : "its size is unknown"));
  }
  if (is_named && identity_of(status) != identity_) {
    throw Error(fmt::format(
        "{}: was replaced or written to while it was in use; put the file back that the "
        "run began with, or begin a new one",
        path_.string()));
  }
}

void MappedFile::prefetch(std::span<const std::byte> part) const { advise(part, MADV_WILLNEED); }

void MappedFile::release(std::span<const std::byte> part) const { advise(part, MADV_DONTNEED); }

}  // namespace toplens
