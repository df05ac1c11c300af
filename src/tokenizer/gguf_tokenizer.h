#pragma once

#include <filesystem>

#include "checkpoint/gguf_header.h"
#include "tokenizer/tokenizer.h"

namespace toplens {

/// The tokenizer inside a GGUF file: tokenizer.ggml.model "llama" (a SentencePiece model of type
/// BPE) or "gpt2" (byte-level BPE) with tokenizer.ggml.pre "gpt-2", "llama-bpe" or "qwen2". Chat
/// templates are not read. Throws Error naming file and key.
CheckpointTokenizer gguf_tokenizer(const GgufMetadata& metadata, const std::filesystem::path& file);

}  // namespace toplens
