#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace toplens {

enum class Activation { silu, gelu_tanh };

/// The type of a rotary embedding whose frequencies are divided one by one, as GGUF stores
/// llama3's.
inline constexpr std::string_view kRopeOfDivisors = "divisors";

/// Rotary position embedding, rotate-half form.
struct RopeConfig {
  double theta = 10000.0;
  /// "default", "linear" (factor), "llama3" (all four) or kRopeOfDivisors.
  std::string type = "default";
  double factor = 1.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  double original_max_position_embeddings = 8192.0;
  std::vector<float> divisors = {};  ///< of kRopeOfDivisors: one for each of head_dim / 2 pairs
};

/// Everything about a model that the forward pass depends on. A plain struct: an architecture's row
/// in the table (architecture_table.h) and config.json fill it; nothing is derived later.
struct ModelConfig {
  std::string architecture;  ///< as in config.json, "LlamaForCausalLM"
  int num_layers = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_query_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;  ///< stored, never derived from hidden_size
  int vocab_size = 0;
  int max_position_embeddings = 0;
  double norm_epsilon = 1e-5;
  double norm_weight_offset = 0.0;  ///< Gemma: the norm multiplies by 1 + weight
  double embedding_scale =
      1.0;                   ///< Gemma: sqrt(hidden_size), not rounded to the checkpoint's dtype
  double query_scale = 1.0;  ///< scores are query_scale * <q, k>
  Activation activation = Activation::silu;
  RopeConfig rope;
  bool qkv_bias = false;
  bool interleaved_qk = false;  ///< GGUF's llama: see WeightMatrix::interleaved_head
  bool post_norms = false;      ///< Gemma-2: norms after attention and MLP too
  bool tied_embeddings = false;
  double attention_softcap = 0.0;  ///< 0: none
  double final_softcap = 0.0;
  std::vector<int> layer_window;  ///< per layer; 0: every earlier token is visible
  std::optional<int> bos_token_id;
  std::optional<int> eos_token_id;

  /// Grouped queries: the one place that maps a query head to its kv head.
  int kv_head(int query_head) const { return query_head / (num_query_heads / num_kv_heads); }
};

/// Reads the text of a config.json. `where` names the file in messages. Throws Error naming the
/// key, what was found and what is supported for: unsupported architectures (listing those
/// supported), keys that change the mathematics and are not understood, missing keys, values out of
/// range.
ModelConfig parse_model_config(std::string_view json_text, const std::string& where);
/// Of a checkpoint directory, or of a GGUF file (gguf_config.h).
ModelConfig read_model_config(const std::filesystem::path& checkpoint);

}  // namespace toplens
