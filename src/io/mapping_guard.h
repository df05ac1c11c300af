#pragma once

#include <cstddef>
#include <span>

namespace toplens {

/// Watches a mapped range while it is alive. A file that shrinks under its mapping, or a disk that
/// cannot be read, raises SIGBUS in whatever code touches the page; inside a watched range the page
/// is then replaced by zeros and the range is marked, for its owner to notice and report. SIGBUS
/// elsewhere does what it did before.
class MappingGuard {
 public:
  MappingGuard() = default;
  explicit MappingGuard(std::span<const std::byte> range);
  ~MappingGuard();
  MappingGuard(MappingGuard&& other) noexcept;
  MappingGuard& operator=(MappingGuard&& other) noexcept;
  MappingGuard(const MappingGuard&) = delete;
  MappingGuard& operator=(const MappingGuard&) = delete;

  /// Whether a page of the range could not be read.
  bool failed() const;

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t slot_ = kNone;
};

}  // namespace toplens
