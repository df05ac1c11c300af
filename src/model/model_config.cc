#include "model/model_config.h"

#include <fmt/format.h>
#include <toplens/error.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "checkpoint/gguf_header.h"
#include "io/atomic_file.h"
#include "io/json_text.h"
#include "io/mapped_file.h"
#include "model/architecture_table.h"
#include "model/config_keys.h"
#include "model/config_reader.h"
#include "model/gguf_config.h"
#include "model/rope_config.h"

namespace toplens {
namespace {

using nlohmann::json;

// Far beyond any model, and small enough that no product of two of them overflows 64 bits.
constexpr int kMostLayers = 10'000;
constexpr int kWidest = 1 << 22;
constexpr int kMostHeads = 1 << 14;
constexpr int kWidestHead = 1 << 14;
constexpr int kLargestVocabulary = 1 << 24;
constexpr int kMostPositions = 1 << 30;

// What the published configuration classes take for absent keys, beyond the architecture table.
constexpr double kDefaultNormEpsilon = 1e-6;
constexpr int kDefaultWindow = 4096;
constexpr int kDefaultMaxWindowLayers = 28;
constexpr double kDefaultQueryPreAttentionScalar = 256.0;
constexpr double kDefaultAttentionSoftcap = 50.0;
constexpr double kDefaultFinalSoftcap = 30.0;

const Architecture& read_architecture(ConfigReader& config) {
  const json& list = config.value("architectures");
  if (!list.is_array() || list.size() != 1 || !list.front().is_string()) {
    config.fail("architectures", "a list of one of: " + supported_architectures());
  }
  const auto& name = list.front().get_ref<const std::string&>();
  const Architecture* architecture = find_architecture(name);
  if (architecture == nullptr) {
    throw Error(fmt::format("{}: architecture {} is not supported; supported are: {}",
                            config.where(), in_quotes(name), supported_architectures()));
  }
  if (config.text("model_type", std::string(architecture->model_type)) !=
      architecture->model_type) {
    config.fail("model_type",
                fmt::format("'{}', as of {}", architecture->model_type, architecture->name));
  }
  return *architecture;
}

int read_num_kv_heads(ConfigReader& config, const Architecture& architecture, int num_query_heads) {
  constexpr std::string_view kKey = "num_key_value_heads";
  const int fallback = architecture.default_num_kv_heads.value_or(num_query_heads);
  // The configuration classes whose head count may be null take it for num_attention_heads.
  const bool is_null = config.has(kKey) && config.value(kKey).is_null();
  const int heads = is_null && !architecture.gemma_family
                        ? num_query_heads
                        : config.integer(kKey, 1, kMostHeads, fallback);
  if (num_query_heads % heads != 0) {
    throw Error(
        fmt::format("{}: key 'num_attention_heads' is {}, expected a multiple of "
                    "num_key_value_heads, {}",
                    config.where(), num_query_heads, heads));
  }
  return heads;
}

int read_head_dim(ConfigReader& config, const Architecture& architecture, int hidden_size,
                  int num_query_heads) {
  int head_dim = 0;
  if (architecture.default_head_dim) {
    head_dim = config.integer("head_dim", 1, kWidestHead, architecture.default_head_dim);
  } else if (config.has_value("head_dim")) {
    head_dim = config.integer("head_dim", 1, kWidestHead);
  } else if (hidden_size % num_query_heads != 0) {
    config.fail("hidden_size", fmt::format("a multiple of num_attention_heads, {}, because "
                                           "head_dim is not given",
                                           num_query_heads));
  } else {
    head_dim = hidden_size / num_query_heads;
  }
  if (head_dim % 2 != 0) {
    throw Error(fmt::format("{}: head_dim is {}, expected an even number (rotary embedding)",
                            config.where(), head_dim));
  }
  if (head_dim > kWidest / num_query_heads) {
    throw Error(fmt::format("{}: {} heads of head_dim {}, expected a product of at most {}",
                            config.where(), num_query_heads, head_dim, kWidest));
  }
  return head_dim;
}

Activation read_activation(ConfigReader& config, const Architecture& architecture) {
  const bool gemma = architecture.gemma_family;
  // Published Gemma: hidden_activation wins; hidden_act, where it is alone, says "gelu" for tanh.
  const bool newer_key = gemma && config.has_value("hidden_activation");
  const std::string_view key = newer_key ? "hidden_activation" : "hidden_act";
  if (newer_key) config.ignore("hidden_act");
  const std::string name = config.text(key, gemma ? "gelu_pytorch_tanh" : "silu");
  if (name == "gelu_pytorch_tanh") return Activation::gelu_tanh;
  if (gemma && !newer_key && name == "gelu") return Activation::gelu_tanh;
  if (name == "silu" && !gemma) return Activation::silu;
  config.fail(key, fmt::format("{} (all that is supported for {})",
                               !gemma      ? "silu or gelu_pytorch_tanh"
                               : newer_key ? "gelu_pytorch_tanh"
                                           : "gelu or gelu_pytorch_tanh, both in the tanh form",
                               architecture.name));
}

/// The window of sliding layers, 0 where there is none, by the rule of the architecture.
int read_window(ConfigReader& config, const Architecture& architecture) {
  if (architecture.window == WindowRule::none) return 0;
  if (architecture.window == WindowRule::from_max_window_layers &&
      !config.boolean("use_sliding_window", false)) {
    config.ignore("sliding_window");
    return 0;
  }
  if (config.has("sliding_window") && !config.has_value("sliding_window")) return 0;
  return config.integer("sliding_window", 1, kMostPositions, kDefaultWindow);
}

std::vector<int> read_layer_windows(ConfigReader& config, const Architecture& architecture,
                                    int num_layers) {
  const int window = read_window(config, architecture);
  int first = 0;
  if (window > 0 && architecture.window == WindowRule::from_max_window_layers) {
    first = config.integer("max_window_layers", 0, kMostPositions, kDefaultMaxWindowLayers);
  }
  const int step = architecture.window == WindowRule::even_layers ? 2 : 1;
  std::vector<int> windows(static_cast<std::size_t>(num_layers), 0);
  if (!config.has_value("layer_types")) {
    for (int layer = first; layer < num_layers; layer += step) windows[layer] = window;
    return windows;
  }

  const json& types = config.value("layer_types");
  if (!types.is_array() || types.size() != windows.size()) {
    config.fail("layer_types", fmt::format("a list of num_hidden_layers, {}, strings", num_layers));
  }
  for (std::size_t layer = 0; layer < windows.size(); ++layer) {
    if (types[layer] == "full_attention") continue;
    if (types[layer] != "sliding_attention") {
      throw Error(
          fmt::format("{}: key 'layer_types' has {} for layer {}, expected "
                      "full_attention or sliding_attention",
                      config.where(), described(types[layer]), layer));
    }
    if (window == 0) {
      throw Error(fmt::format("{}: key 'layer_types' has sliding_attention for layer {}, but {}",
                              config.where(), layer,
                              architecture.window == WindowRule::none
                                  ? fmt::format("{} has no sliding window", architecture.name)
                                  : "sliding_window is null or not in use"));
    }
    windows[layer] = window;
  }
  return windows;
}

/// Token ids may be null, an integer or a list of integers (the first counts).
std::optional<int> read_token_id(ConfigReader& config, std::string_view key, int vocab_size,
                                 std::optional<int> fallback) {
  if (!config.has(key)) return fallback;
  const json* found = &config.value(key);
  if (found->is_null()) return std::nullopt;
  const std::string expected =
      fmt::format("null, a token id from 0 to {} or a list of them", vocab_size - 1);
  if (found->is_array()) {
    if (found->empty()) config.fail(key, expected);
    found = &found->front();
  }
  if (!found->is_number_unsigned() ||
      found->get<std::uint64_t>() >= static_cast<std::uint64_t>(vocab_size)) {
    config.fail(key, expected);
  }
  return static_cast<int>(found->get<std::uint64_t>());
}

/// 0 for null: no cap.
double read_softcap(ConfigReader& config, std::string_view key, double fallback) {
  if (config.has(key) && !config.has_value(key)) return 0.0;
  return config.positive_number(key, fallback);
}

}  // namespace

ModelConfig parse_model_config(std::string_view json_text, const std::string& where) {
  const json object = parse_json(json_text, where);
  ConfigReader config(object, where);
  const Architecture& architecture = read_architecture(config);

  ModelConfig model;
  model.architecture = architecture.name;
  model.num_layers = config.integer("num_hidden_layers", 1, kMostLayers);
  model.hidden_size = config.integer("hidden_size", 1, kWidest);
  model.intermediate_size = config.integer("intermediate_size", 1, kWidest);
  model.num_query_heads = config.integer("num_attention_heads", 1, kMostHeads);
  model.num_kv_heads = read_num_kv_heads(config, architecture, model.num_query_heads);
  model.head_dim = read_head_dim(config, architecture, model.hidden_size, model.num_query_heads);
  model.vocab_size = config.integer("vocab_size", 1, kLargestVocabulary);
  model.max_position_embeddings = config.integer("max_position_embeddings", 1, kMostPositions,
                                                 architecture.default_max_position_embeddings);
  model.norm_epsilon = config.positive_number("rms_norm_eps", kDefaultNormEpsilon);
  model.activation = read_activation(config, architecture);
  model.rope = read_rope_config(config);
  model.tied_embeddings =
      config.boolean("tie_word_embeddings", architecture.default_tied_embeddings);
  model.layer_window = read_layer_windows(config, architecture, model.num_layers);
  model.bos_token_id =
      read_token_id(config, "bos_token_id", model.vocab_size, architecture.default_bos_token_id);
  model.eos_token_id =
      read_token_id(config, "eos_token_id", model.vocab_size, architecture.default_eos_token_id);
  model.qkv_bias = architecture.qkv_bias;
  model.query_scale = 1.0 / std::sqrt(static_cast<double>(model.head_dim));
  if (architecture.gemma_family) {
    model.norm_weight_offset = 1.0;
    model.embedding_scale = std::sqrt(static_cast<double>(model.hidden_size));
  }
  if (architecture.soft_caps_and_post_norms) {
    model.post_norms = true;
    model.query_scale = 1.0 / std::sqrt(config.positive_number("query_pre_attn_scalar",
                                                               kDefaultQueryPreAttentionScalar));
    model.attention_softcap =
        read_softcap(config, "attn_logit_softcapping", kDefaultAttentionSoftcap);
    model.final_softcap = read_softcap(config, "final_logit_softcapping", kDefaultFinalSoftcap);
  }
  check_unread_keys(config, architecture.name);
  return model;
}

ModelConfig read_model_config(const std::filesystem::path& checkpoint) {
  if (is_gguf_path(checkpoint)) {
    const MappedFile file(checkpoint);
    const ModelConfig config =
        gguf_model_config(parse_gguf_header(file.bytes(), checkpoint.string()), file.bytes());
    file.check_intact();
    return config;
  }
  const std::filesystem::path path = checkpoint / "config.json";
  return parse_model_config(read_text_file(path, kLargestJsonFile), path.string());
}

}  // namespace toplens
