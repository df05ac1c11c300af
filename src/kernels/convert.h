#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/data_type.h"

namespace toplens {

/// A bfloat16 as its 16 bits: the upper half of a float32.
using Bf16 = std::uint16_t;

/// float32 to bfloat16, rounded to nearest even; NaN stays NaN. Sizes must agree.
void convert_to_bf16(std::span<const float> from, std::span<Bf16> to);

/// Stored little-endian elements of `type`, at any alignment, to float32 (exact; of quantised types
/// see dequantize.h). `from` holds to.size() elements, whole blocks where the type has blocks.
void convert_to_f32(const std::byte* from, DataType type, std::span<float> to);

/// The same to bfloat16: a copy for BF16, else through float32 with rounding to nearest even.
void convert_to_bf16(const std::byte* from, DataType type, std::span<Bf16> to);

/// Whether no element is infinite or NaN.
bool all_finite(std::span<const float> values);

}  // namespace toplens
