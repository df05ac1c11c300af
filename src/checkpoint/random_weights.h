#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/data_type.h"

namespace toplens {

/// Normally distributed weights as they are stored, at tens of gigabytes per minute and thread: 16
/// random bits choose one of 65536 quantiles of the distribution, already in the data type. Every
/// block of kBlock elements has a generator of its own, so the bytes depend on key and position
/// alone.
class RandomWeights {
 public:
  static constexpr std::uint64_t kBlock = 4096;

  RandomWeights(DataType type, double mean, double standard_deviation);

  /// Elements from `first_element`, a multiple of kBlock, of the stream `key`; `to` holds whole
  /// elements.
  void fill(std::uint64_t key, std::uint64_t first_element, std::span<std::byte> to) const;

 private:
  DataType type_;
  std::vector<std::uint16_t> half_quantiles_;  // bf16 and f16
  std::vector<float> quantiles_;               // f32
};

}  // namespace toplens
