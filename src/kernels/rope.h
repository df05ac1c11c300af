#pragma once

#include <span>

namespace toplens {

/// Rotary embedding in the rotate-half form of the Hugging Face checkpoints: element i is paired
/// with i + d/2. `cosine` and `sine` hold the position's d/2 values. out may not overlap x.
void rotate_half(std::span<const float> x, std::span<const float> cosine,
                 std::span<const float> sine, std::span<float> out);

}  // namespace toplens
