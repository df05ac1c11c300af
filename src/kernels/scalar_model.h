#pragma once

#include <cstddef>
#include <cstdint>

namespace toplens {

/// What one draw of theory.md (20) counts: g of (6) as a scalar for each token,
/// g = n (linear + noise z + square n). The first `selected` tokens are S, the others T.
struct ScalarModel {
  const double* linear;
  const double* noise;
  const double* square;
  std::size_t selected;
  std::size_t tokens;
};

struct ScalarModelCounts {
  std::uint64_t contaminating = 0;  ///< tokens of T with g >= min g over S
  std::uint64_t clear = 0;          ///< tokens of S with g > max g over T
};

/// All arrays have room for `tokens` rounded up to a multiple of 8, `scores` for 8 more.
/// 1 <= selected < tokens.
ScalarModelCounts count_draw(const ScalarModel& model, const float* z, const float* n,
                             double* scores);

}  // namespace toplens
