#pragma once

#include <cstdint>

namespace toplens {

/// Told how far long work has come; the library itself never prints. Called from one thread.
class ProgressListener {
 public:
  virtual ~ProgressListener() = default;
  /// Work units (layer x lane) done, of all of them.
  virtual void advance(std::uint64_t done, std::uint64_t total) = 0;
};

}  // namespace toplens
