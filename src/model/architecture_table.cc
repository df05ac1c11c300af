#include "model/architecture_table.h"

#include <array>

namespace toplens {
namespace {

std::array<Architecture, 5> make_table() {
  Architecture llama;
  llama.name = "LlamaForCausalLM";
  llama.model_type = "llama";
  llama.default_max_position_embeddings = 2048;
  llama.default_bos_token_id = 1;
  llama.default_eos_token_id = 2;

  Architecture mistral = llama;
  mistral.name = "MistralForCausalLM";
  mistral.model_type = "mistral";
  mistral.default_num_kv_heads = 8;
  mistral.default_max_position_embeddings = 4096 * 32;
  mistral.window = WindowRule::every_layer;

  Architecture gemma;
  gemma.name = "GemmaForCausalLM";
  gemma.model_type = "gemma";
  gemma.default_num_kv_heads = 16;
  gemma.default_head_dim = 256;
  gemma.default_max_position_embeddings = 8192;
  gemma.default_tied_embeddings = true;
  gemma.default_bos_token_id = 2;
  gemma.default_eos_token_id = 1;
  gemma.gemma_family = true;

  Architecture gemma2 = gemma;
  gemma2.name = "Gemma2ForCausalLM";
  gemma2.model_type = "gemma2";
  gemma2.default_num_kv_heads = 4;
  gemma2.window = WindowRule::even_layers;
  gemma2.soft_caps_and_post_norms = true;

  Architecture qwen2;
  qwen2.name = "Qwen2ForCausalLM";
  qwen2.model_type = "qwen2";
  qwen2.default_num_kv_heads = 32;
  qwen2.default_max_position_embeddings = 32768;
  qwen2.window = WindowRule::from_max_window_layers;
  qwen2.qkv_bias = true;

  return {llama, mistral, gemma, gemma2, qwen2};
}

}  // namespace

std::span<const Architecture> architecture_table() {
  static const std::array<Architecture, 5> table = make_table();
  return table;
}

const Architecture* find_architecture(std::string_view name) {
  for (const Architecture& architecture : architecture_table()) {
    if (architecture.name == name) return &architecture;
  }
  return nullptr;
}

std::string supported_architectures() {
  std::string names;
  for (const Architecture& architecture : architecture_table()) {
    if (!names.empty()) names += ", ";
    names += architecture.name;
  }
  return names;
}

}  // namespace toplens
