#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "io/mapping_guard.h"

namespace toplens {

/// What tells a file from another that took its name, and from itself with other contents.
struct FileIdentity {
  std::uint64_t device = 0, number = 0;
  std::int64_t modified_seconds = 0, modified_nanoseconds = 0;
  bool operator==(const FileIdentity&) const = default;
};

/// A file mapped read-only. Bytes stay valid for the object's life.
class MappedFile {
 public:
  /// Throws Error naming the path and the system's reason. An empty file maps to no bytes.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

  /// Throws Error if a page could not be read, or the file of this name is no longer the one that
  /// was opened, as long and as old: what was read since then may be zeros or of two files.
  void check_intact() const;

  /// Asks the system to read a part of the file ahead; returns before it has.
  void prefetch(std::span<const std::byte> part) const;
  /// Lets the system take the part's pages from this process; they stay readable.
  void release(std::span<const std::byte> part) const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  FileIdentity identity_;
  MappingGuard guard_;
};

}  // namespace toplens
