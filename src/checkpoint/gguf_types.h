#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/data_type.h"
#include "checkpoint/gguf_header.h"

namespace toplens {

/// Bytes of one value of a type of fixed size.
std::uint64_t gguf_type_bytes(GgufType type);

/// The tensor type with this number in the file, if it is one that is read.
std::optional<DataType> gguf_data_type(std::uint32_t number);
/// ggml's name for it, "Q3_K", also of types that are not read; "type 99" else.
std::string gguf_tensor_type_name(std::uint32_t number);
/// "F32, F16, ...": those that are read, for messages.
std::string gguf_data_types();

/// The name under which GGUF stores a tensor that Hugging Face calls `name`
/// ("model.layers.3.mlp.up_proj.weight" is "blk.3.ffn_up.weight"); `name` itself where it has none.
/// With `post_norms` (Gemma-2) the norm before the MLP has another name than without.
std::string gguf_tensor_name(std::string_view name, bool post_norms);

/// The tensor of divisors of the rotary frequencies (Llama-3.1).
inline constexpr std::string_view kGgufRopeFactors = "rope_freqs.weight";

}  // namespace toplens
