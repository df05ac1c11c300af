#pragma once

#include <string>
#include <string_view>

namespace toplens {

/// Makes the kernels of this process use one instruction set: "avx512", "avx2", "baseline", ...
/// Before any of them runs. Matrix products are oneDNN's, whose own choice this leaves. Throws
/// Error listing the levels there are, if the machine or the build lacks this one.
void force_simd_level(std::string_view level);

/// The level in use: the one forced, else the highest that build and machine have.
std::string active_simd_level();

/// What oneDNN makes of this machine for the matrix products: "avx512_core_bf16", ...
std::string matrix_product_level();

}  // namespace toplens
