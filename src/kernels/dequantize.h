#pragma once

#include <cstddef>
#include <span>

#include "base/data_type.h"

namespace toplens {

/// Stored blocks of a quantised `type`, at any alignment, to float32. `from` holds to.size()
/// elements, a whole number of blocks. Every value is the exact result of the format's formula
/// rounded once: all products are of so few bits that float32 holds them exactly (d * q: 11 + 8
/// bits; d * scale * q: at most 11 + 7 + 5), and the subtraction of the minimum is the only
/// rounding.
void dequantize(const std::byte* from, DataType type, std::span<float> to);

}  // namespace toplens
