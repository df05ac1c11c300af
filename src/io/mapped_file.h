#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "io/mapping_guard.h"

namespace toplens {

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

  /// Throws Error if a page could not be read or the file is no longer as long as it was: what was
  /// read since then may be zeros.
  void check_intact() const;

  /// Asks the system to read a part of the file ahead; returns before it has.
  void prefetch(std::span<const std::byte> part) const;
  /// Lets the system take the part's pages from this process; they stay readable.
  void release(std::span<const std::byte> part) const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  MappingGuard guard_;
};

}  // namespace toplens
