#pragma once

#include <cstddef>
#include <cstdint>

namespace toplens {

/// Sums of some of the tokens' contributions around each token, for many nested choices at once.
struct DecayedSums {
  const double* contributions;  ///< [tokens]
  const std::uint32_t* ranks;   ///< [tokens]; choice n holds the tokens of rank below set_sizes[n]
  std::size_t tokens;
  const double* set_sizes;  ///< [choices]
  std::size_t choices;      ///< a multiple of 8
  double constant, amplitude;
  double step;  ///< decay for one position
};

/// sums[i, n] = sum over the other tokens k of choice n of
/// contributions[k] (constant + amplitude step^|i - k|), row-major with `choices` columns.
void decayed_sums(const DecayedSums& input, double* sums);

}  // namespace toplens
