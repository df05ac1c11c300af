#pragma once

#include <span>

namespace toplens {

/// out = silu(gate) * up, silu(x) = x / (1 + exp(-x)). out may be gate. NaN and infinity pass
/// through as NaN.
void silu_gate(std::span<const float> gate, std::span<const float> up, std::span<float> out);

/// out = gelu(gate) * up in the tanh form, 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
void gelu_tanh_gate(std::span<const float> gate, std::span<const float> up, std::span<float> out);

}  // namespace toplens
