#pragma once

#include <cstddef>
#include <span>

namespace toplens {

/// Sets weights[i] to 0 unless scores[i] is among the `keep` highest scores, ties to the lower
/// index (zeros of both signs tie). The threshold is found by bisection on the number format's own
/// order; nothing is sorted. `scores` has as many elements as `weights`, may be the same memory,
/// and holds no NaN. keep >= 1; nothing happens where it is not below the number of weights.
void keep_highest(std::span<float> weights, std::span<const float> scores, std::size_t keep);

/// Divides by the sum. False, with nothing changed, where it is 0. Weights are finite and >= 0.
bool scale_to_unit_sum(std::span<float> weights);

}  // namespace toplens
