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
      guard_(std::move(other.guard_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(guard_, other.guard_);
  return *this;
}

void MappedFile::check_intact() const {
  std::error_code error;
  const std::uintmax_t now = std::filesystem::file_size(path_, error);
  if (!guard_.failed() && (error || now == size_)) return;
  throw Error(fmt::format(
      "{}: could not be read to its end while it was in use: it had {} bytes when "
      "it was opened, now {}",
      path_.string(), size_, error ? "its size is unknown" : fmt::format("it has {}", now)));
}

void MappedFile::prefetch(std::span<const std::byte> part) const { advise(part, MADV_WILLNEED); }

void MappedFile::release(std::span<const std::byte> part) const { advise(part, MADV_DONTNEED); }

}  // namespace toplens
