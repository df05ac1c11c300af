#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace toplens {

/// A file under construction beside its destination. publish() makes it appear there whole; an
/// object that dies before leaves nothing behind. Errors name the destination: a user never asked
/// for the temporary name.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::filesystem::path& destination);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  const std::filesystem::path& destination() const { return destination_; }

  /// Sets the size and reserves the space on the disk where the file system can.
  void reserve(std::uint64_t bytes);
  /// Safe from several threads for disjoint ranges.
  void write(std::uint64_t offset, const void* data, std::size_t bytes);
  /// fsync, rename over the destination, fsync of the directory. If the content was written through
  /// path() by somebody else, that file is what is published.
  void publish();

 private:
  void close() noexcept;

  std::filesystem::path destination_;
  std::filesystem::path path_;
  int descriptor_ = -1;
  bool published_ = false;
};

/// Whether this is a file that a process of this machine, killed since, left under construction.
bool is_abandoned(const std::filesystem::path& path);
/// Removes those that were to become `destination`.
void remove_abandoned(const std::filesystem::path& destination);

}  // namespace toplens
