#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace toplens {

/// Which layers attend within a sliding window, where config.json has no `layer_types`.
enum class WindowRule {
  none,                    ///< a window is an error
  every_layer,             ///< `sliding_window`
  even_layers,             ///< `sliding_window`, layers 0, 2, ...
  from_max_window_layers,  ///< if `use_sliding_window`: layers >= `max_window_layers`
};

/// How an architecture differs from LLaMA, and what its published configuration class takes for
/// keys that config.json leaves out.
struct Architecture {
  std::string_view name;        ///< in `architectures`
  std::string_view model_type;  ///< in `model_type`

  std::optional<int> default_num_kv_heads;  ///< none: num_attention_heads
  std::optional<int> default_head_dim;      ///< none: hidden_size / num_attention_heads
  int default_max_position_embeddings = 0;
  bool default_tied_embeddings = false;
  std::optional<int> default_bos_token_id;
  std::optional<int> default_eos_token_id;

  WindowRule window = WindowRule::none;
  bool gemma_family = false;  ///< 1 + weight norms, scaled embeddings, tanh-GELU, its spellings
  bool soft_caps_and_post_norms = false;  ///< Gemma-2, with `query_pre_attn_scalar`
  bool qkv_bias = false;
};

/// The one place where architectures are listed.
std::span<const Architecture> architecture_table();

/// The row of this name, or null.
const Architecture* find_architecture(std::string_view name);

/// "LlamaForCausalLM, MistralForCausalLM, ...": for messages.
std::string supported_architectures();

}  // namespace toplens
