#pragma once

#include <span>

namespace toplens {

/// out = x / sqrt(mean(x^2) + epsilon) * scale, where scale is the stored norm weight plus the
/// architecture's offset. All of one size; out may be x.
void rms_norm(std::span<const float> x, std::span<const float> scale, double epsilon,
              std::span<float> out);

}  // namespace toplens
