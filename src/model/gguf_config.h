#pragma once

#include <cstddef>
#include <span>

#include "checkpoint/gguf_header.h"
#include "model/model_config.h"

namespace toplens {

/// The configuration that a GGUF file's metadata and tensors describe, for the architectures llama
/// (LLaMA and, with a sliding window, Mistral), qwen2, gemma and gemma2. `file` is what `header`
/// was parsed from. Throws Error naming the file and the key for other architectures and for keys
/// that may change the mathematics and are not understood.
ModelConfig gguf_model_config(const GgufHeader& header, std::span<const std::byte> file);

}  // namespace toplens
