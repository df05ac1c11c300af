#include "model/checkpoint_model.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "kernels/convert.h"
#include "model/weight_names.h"

namespace toplens {
namespace {

std::uint64_t dimension(int value) { return static_cast<std::uint64_t>(value); }

}  // namespace

CheckpointModel::CheckpointModel(const std::filesystem::path& path)
    : path_(path), config_(read_model_config(path)), tensors_(path) {
  check_tensors(tensors_, config_);
}

DataType CheckpointModel::weight_type() const { return layer(0).query.type; }

bool CheckpointModel::needs_conversion(DataType type) const {
  if (config_.interleaved_qk) return true;
  for (const ExpectedTensor& expected : expected_tensors(config_)) {
    if (expected.shape.size() < 2 || !tensors_.contains(expected.name)) continue;
    if (tensors_.get(expected.name, expected.shape).type != type) return true;
  }
  return false;
}

WeightMatrix CheckpointModel::matrix(const std::string& name, int rows, int columns) const {
  const TensorView tensor = tensors_.get(name, {dimension(rows), dimension(columns)});
  return {tensor.bytes.data(), tensor.type, dimension(rows), dimension(columns)};
}

std::vector<float> CheckpointModel::vector(const std::string& name, int size, double offset) const {
  const TensorView tensor = tensors_.get(name, {dimension(size)});
  std::vector<float> values(dimension(size));
  convert_to_f32(tensor.bytes.data(), tensor.type, values);
  for (float& value : values) value = static_cast<float>(value + offset);
  return values;
}

LayerWeights CheckpointModel::layer(int index) const {
  const ModelConfig& c = config_;
  const int query_width = c.num_query_heads * c.head_dim;
  const int kv_width = c.num_kv_heads * c.head_dim;
  const auto name = [&](const char* rest) { return layer_tensor_name(index, rest); };
  const auto norm = [&](const char* rest) {
    return vector(name(rest), c.hidden_size, c.norm_weight_offset);
  };
  LayerWeights w;
  w.query = matrix(name("self_attn.q_proj.weight"), query_width, c.hidden_size);
  w.key = matrix(name("self_attn.k_proj.weight"), kv_width, c.hidden_size);
  w.value = matrix(name("self_attn.v_proj.weight"), kv_width, c.hidden_size);
  if (c.interleaved_qk) {
    w.query.interleaved_head = w.key.interleaved_head = static_cast<std::size_t>(c.head_dim);
  }
  w.output = matrix(name("self_attn.o_proj.weight"), c.hidden_size, query_width);
  w.gate = matrix(name("mlp.gate_proj.weight"), c.intermediate_size, c.hidden_size);
  w.up = matrix(name("mlp.up_proj.weight"), c.intermediate_size, c.hidden_size);
  w.down = matrix(name("mlp.down_proj.weight"), c.hidden_size, c.intermediate_size);
  if (c.qkv_bias) {
    w.query_bias = vector(name("self_attn.q_proj.bias"), query_width, 0);
    w.key_bias = vector(name("self_attn.k_proj.bias"), kv_width, 0);
    w.value_bias = vector(name("self_attn.v_proj.bias"), kv_width, 0);
  }
  w.attention_norm = norm("input_layernorm.weight");
  if (c.post_norms) {
    w.post_attention_norm = norm("post_attention_layernorm.weight");
    w.mlp_norm = norm("pre_feedforward_layernorm.weight");
    w.post_mlp_norm = norm("post_feedforward_layernorm.weight");
  } else {
    w.mlp_norm = norm("post_attention_layernorm.weight");
  }
  return w;
}

WeightMatrix CheckpointModel::embedding() const {
  return matrix(embedding_tensor_name(tensors_, config_), config_.vocab_size, config_.hidden_size);
}

WeightMatrix CheckpointModel::output_head() const {
  return matrix(output_tensor_name(tensors_, config_), config_.vocab_size, config_.hidden_size);
}

std::vector<float> CheckpointModel::final_norm() const {
  return vector("model.norm.weight", config_.hidden_size, config_.norm_weight_offset);
}

void CheckpointModel::prefetch_layer(int index) const {
  const std::string prefix = layer_tensor_name(index, "");
  for (const ExpectedTensor& tensor : expected_tensors(config_)) {
    if (tensor.name.compare(0, prefix.size(), prefix) == 0) tensors_.prefetch(tensor.name);
  }
}

void CheckpointModel::release_layer(int index) const {
  const std::string prefix = layer_tensor_name(index, "");
  for (const ExpectedTensor& tensor : expected_tensors(config_)) {
    if (tensor.name.compare(0, prefix.size(), prefix) == 0) tensors_.release(tensor.name);
  }
}

void CheckpointModel::prefetch_head() const {
  tensors_.prefetch(output_tensor_name(tensors_, config_));
}

void CheckpointModel::release_embeddings() const {
  tensors_.release(embedding_tensor_name(tensors_, config_));
  tensors_.release(output_tensor_name(tensors_, config_));
}

std::string CheckpointModel::find_non_finite_weight(int layer) const {
  const std::string prefix = layer_tensor_name(layer, "");
  for (const ExpectedTensor& expected : expected_tensors(config_)) {
    const bool in_layer = expected.name.compare(0, prefix.size(), prefix) == 0;
    const bool outside = expected.name.find(".layers.") == std::string::npos;
    if (layer < config_.num_layers ? !in_layer : !outside) continue;
    const bool is_embedding = expected.name == "model.embed_tokens.weight";
    const TensorView tensor = tensors_.get(
        is_embedding ? embedding_tensor_name(tensors_, config_) : expected.name, expected.shape);
    std::size_t count = 1;
    for (const std::uint64_t dimension : tensor.shape) count *= dimension;
    std::vector<float> block(std::min<std::size_t>(count, 65536));  // whole blocks of any type
    for (std::size_t first = 0; first < count; first += block.size()) {
      const std::span<float> part = std::span(block).first(std::min(block.size(), count - first));
      convert_to_f32(tensor.bytes.data() + stored_bytes(tensor.type, first), tensor.type, part);
      if (all_finite(part)) continue;
      for (std::size_t i = 0; i < part.size(); ++i) {
        if (!std::isfinite(part[i])) {
          return fmt::format("tensor {} holds {} at element {}", tensor.name,
                             std::isnan(part[i]) ? "NaN" : "infinity", first + i);
        }
      }
    }
  }
  return {};
}

double forward_operations(const ModelConfig& c, int length) {
  const double query_width = static_cast<double>(c.num_query_heads) * c.head_dim;
  const double kv_width = static_cast<double>(c.num_kv_heads) * c.head_dim;
  const double weights =
      c.hidden_size * (2 * query_width + 2 * kv_width) + 3.0 * c.hidden_size * c.intermediate_size;
  double total = 0;
  for (const int window : c.layer_window) {
    const double visible = window > 0 && window < length ? window : (length + 1) / 2.0;
    total += 2.0 * length * (weights + 2.0 * visible * query_width);
  }
  return total;
}

double head_operations(const ModelConfig& c) { return 2.0 * c.hidden_size * c.vocab_size; }

}  // namespace toplens
