#include "model/random_model.h"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>
#include <toplens/error.h>
#include <nlohmann/json.hpp>

#include "model/model_config.h"
#include "model/weight_names.h"

namespace toplens {
namespace {

struct Shape {
  std::string_view name;
  const char* config;  ///< config.json as published
};

constexpr std::array<Shape, 3> kShapes = {{
    {"llama-2-7b", R"({"architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
      "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
      "intermediate_size": 11008, "max_position_embeddings": 4096, "model_type": "llama",
      "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32,
      "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": null,
      "tie_word_embeddings": false, "torch_dtype": "float16",
      "transformers_version": "4.31.0.dev0", "use_cache": true, "vocab_size": 32000})"},
    {"mistral-7b", R"({"architectures": ["MistralForCausalLM"], "bos_token_id": 1,
      "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
      "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mistral",
      "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
      "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096,
      "tie_word_embeddings": false, "torch_dtype": "bfloat16",
      "transformers_version": "4.34.0.dev0", "use_cache": true, "vocab_size": 32000})"},
    {"gemma-7b", R"({"architectures": ["GemmaForCausalLM"], "attention_bias": false,
      "attention_dropout": 0.0, "bos_token_id": 2, "eos_token_id": 1, "head_dim": 256,
      "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh",
      "hidden_size": 3072, "initializer_range": 0.02, "intermediate_size": 24576,
      "max_position_embeddings": 8192, "model_type": "gemma", "num_attention_heads": 16,
      "num_hidden_layers": 28, "num_key_value_heads": 16, "pad_token_id": 0,
      "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 10000.0,
      "torch_dtype": "bfloat16", "transformers_version": "4.38.0.dev0", "use_cache": true,
      "vocab_size": 256000})"},
}};

const Shape& find_shape(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  for (const Shape& shape : kShapes) {
    if (shape.name == lower) return shape;
  }
  throw Error(fmt::format("unknown shape '{}': expected one of {}", name, random_model_shapes()));
}

const char* torch_name(DataType type) {
  switch (type) {
    case DataType::f32:
      return "float32";
    case DataType::f16:
      return "float16";
    case DataType::bf16:
      return "bfloat16";
    default:
      return "";  // generated checkpoints are not quantised
  }
}

}  // namespace

std::string random_model_shapes() {
  std::string names;
  for (const Shape& shape : kShapes) {
    if (!names.empty()) names += ", ";
    names += shape.name;
  }
  return names;
}

RandomCheckpoint random_model(std::string_view shape, std::span<const ShapeChange> changes,
                              DataType type, std::uint64_t seed) {
  auto json = nlohmann::ordered_json::parse(find_shape(shape).config);
  json["torch_dtype"] = torch_name(type);
  const bool ungrouped = json["num_attention_heads"] == json["num_key_value_heads"];
  for (const ShapeChange& change : changes) {
    if (ungrouped && change.key == "num_attention_heads")
      json["num_key_value_heads"] = change.value;
  }
  for (const ShapeChange& change : changes) json[std::string(change.key)] = change.value;

  RandomCheckpoint checkpoint;
  checkpoint.config_json = json.dump(2) + "\n";
  checkpoint.type = type;
  checkpoint.seed = seed;
  const ModelConfig config =
      parse_model_config(checkpoint.config_json, fmt::format("{} as changed", shape));
  const auto initializer_range = json["initializer_range"].get<double>();
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    const bool norm = tensor.name.find("norm") != std::string::npos;
    checkpoint.tensors.push_back({tensor.name, tensor.shape,
                                  norm ? 1.0 - config.norm_weight_offset : 0.0, initializer_range});
  }
  return checkpoint;
}

}  // namespace toplens
