#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/aligned_vector.h"

namespace toplens {

/// Finds the highest scores of a row: a threshold by bisection on the number format's own order,
/// then a sort of what reaches it alone. Keeps scratch memory between calls.
class TopN {
 public:
  TopN();
  ~TopN();
  TopN(TopN&&) noexcept;

  /// Indices of the order.size() highest scores, descending, ties to the lower index; the zeros of
  /// both signs tie. Needs order.size() <= scores.size(). Scores must not be NaN.
  void select(std::span<const float> scores, std::span<std::uint32_t> order);
  void select(std::span<const double> scores, std::span<std::uint32_t> order);

 private:
  struct Scratch;
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace toplens
