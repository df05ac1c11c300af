#pragma once

#include <cstddef>
#include <span>

#include "base/random.h"

namespace toplens {

/// Pairs of numbers made at once; a multiple of every vector's lanes.
inline constexpr std::size_t kNormalPairs = 128;

/// Fills `out` with independent standard normal numbers in float32 (Box and Muller 1958), |z|
/// < 6.7. The same generator state gives the same numbers on every machine, up to rounding.
void normal_draws(Random& random, std::span<float> out);

/// Log-normal numbers of mean 1 and standard deviation `sd` from standard normal ones.
void log_normal_from_normal(std::span<const float> normal, double sd, std::span<float> out);

}  // namespace toplens
