#include "model/config_keys.h"

#include <fmt/format.h>
#include <toplens/error.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "io/json_text.h"

namespace toplens {
namespace {

/// Keys that do not change what a forward pass computes: provenance, storage, training, generation,
/// and the base class's keys for other tasks.
constexpr std::string_view kHarmless[] = {
    // provenance and storage
    "_attn_implementation", "_attn_implementation_autoset", "_commit_hash", "_flash_attn_2_enabled",
    "_name_or_path", "attn_implementation", "dtype", "is_llama_config", "model_max_length",
    "name_or_path", "torch_dtype", "transformers.js_config", "transformers_version",
    "unsloth_fixed", "unsloth_version", "use_bfloat16", "use_unsloth",
    // training
    "attention_dropout", "attn_pdrop", "embd_pdrop", "gradient_checkpointing", "hidden_dropout",
    "hidden_dropout_prob", "initializer_range", "neftune_noise_alpha", "resid_pdrop",
    // caching and generation
    "bad_words_ids", "begin_suppress_tokens", "cache_implementation", "decoder_start_token_id",
    "diversity_penalty", "do_sample", "early_stopping", "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id",
    "length_penalty", "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups",
    "num_beams", "num_return_sequences", "pad_token_id", "remove_invalid_values",
    "repetition_penalty", "return_dict_in_generate", "suppress_tokens", "temperature", "top_k",
    "top_p", "typical_p", "unk_token_id", "use_cache",
    // the base class's keys for other tasks and outputs
    "bos_token", "chunk_size_feed_forward", "classifier_dropout", "eos_token", "finetuning_task",
    "id2label", "is_decoder", "label2id", "num_labels", "output_attentions", "output_hidden_states",
    "output_scores", "pad_token", "prefix", "problem_type", "return_dict", "sep_token_id",
    "task_specific_params", "tf_legacy_loss", "tokenizer_class", "torchscript",
    // no published forward pass of these architectures reads them
    "max_sequence_length", "sliding_window_size", "max_window_layers"};

/// Keys that are accepted with these values only. The first block changes the mathematics of any
/// architecture; the second is what other architectures read and these spell "not here".
struct FixedKey {
  std::string_view key;
  std::string_view accepted[3];  ///< JSON, "" where there are fewer
};
constexpr FixedKey kFixed[] = {
    {"pretraining_tp", {"1", "null"}},
    {"attention_bias", {"false"}},
    {"mlp_bias", {"false"}},
    {"partial_rotary_factor", {"1.0", "1", "null"}},
    {"add_cross_attention", {"false"}},
    {"cross_attention_hidden_size", {"null"}},
    {"is_encoder_decoder", {"false"}},
    {"tie_encoder_decoder", {"false"}},
    {"is_causal", {"true"}},
    {"use_bidirectional_attention", {"false", "null"}},
    {"pruned_heads", {"{}", "null"}},
    {"quantization_config", {"null"}},
    {"auto_map", {"{}", "null"}},
    {"use_mrope", {"false"}},
    {"use_qk_norm", {"false"}},
    {"rope_interleaved", {"false"}},

    {"attn_logit_softcapping", {"null"}},
    {"final_logit_softcapping", {"null"}},
    {"query_pre_attn_scalar", {"null"}},
    {"sliding_window", {"null"}},
    {"use_sliding_window", {"false", "null"}},
    {"hidden_activation", {"null"}},
};

/// Where the generic message would not tell a user what to do.
std::string_view advice(std::string_view key) {
  if (key == "quantization_config") return "; use the unquantized checkpoint (F32, F16 or BF16)";
  if (key == "auto_map") return "; models that bring their own code are not supported";
  return "";
}

bool is_accepted(const FixedKey& fixed, const nlohmann::json& value) {
  // Scalars and empty objects only: a deep value is never printed or compared.
  if (value.is_structured() && !value.empty()) return false;
  const std::string found = value.dump();
  return std::find(std::begin(fixed.accepted), std::end(fixed.accepted), found) !=
         std::end(fixed.accepted);
}

std::string accepted_values(const FixedKey& fixed) {
  std::string values;
  for (const std::string_view value : fixed.accepted) {
    if (value.empty()) continue;
    if (!values.empty()) values += " or ";
    values += value;
  }
  return values;
}

}  // namespace

void check_unread_keys(ConfigReader& config, std::string_view architecture) {
  const std::string understood = config.read_keys();
  for (const std::string& key : config.unread()) {
    if (std::find(std::begin(kHarmless), std::end(kHarmless), key) != std::end(kHarmless)) continue;
    const auto* fixed = std::find_if(std::begin(kFixed), std::end(kFixed),
                                     [&](const FixedKey& row) { return row.key == key; });
    if (fixed == std::end(kFixed)) {
      throw Error(fmt::format(
          "{}: key {} is {}, which is not understood and may change the "
          "mathematics; of {} these keys are read: {}",
          config.where(), in_quotes(key), described(config.value(key)), architecture, understood));
    }
    if (!is_accepted(*fixed, config.value(key))) {
      config.fail(key, fmt::format("{} (all that is supported for {}){}", accepted_values(*fixed),
                                   architecture, advice(key)));
    }
  }
}

}  // namespace toplens
