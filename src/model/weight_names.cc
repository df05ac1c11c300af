#include "model/weight_names.h"

#include <fmt/format.h>
#include <toplens/error.h>

#include <set>

#include "checkpoint/gguf_types.h"
#include "io/json_text.h"

namespace toplens {
namespace {

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kOutput = "lm_head.weight";
constexpr std::string_view kRotaryBuffer = ".rotary_emb.inv_freq";

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

std::string layer_tensor_name(int layer, std::string_view suffix) {
  return fmt::format("model.layers.{}.{}", layer, suffix);
}

std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config) {
  const auto size = [](int value) { return static_cast<std::uint64_t>(value); };
  const std::uint64_t hidden = size(config.hidden_size);
  const std::uint64_t inner = size(config.intermediate_size);
  const std::uint64_t query = size(config.num_query_heads) * size(config.head_dim);
  const std::uint64_t kv = size(config.num_kv_heads) * size(config.head_dim);
  const std::uint64_t vocab = size(config.vocab_size);

  std::vector<ExpectedTensor> tensors;
  tensors.push_back({kEmbedding, {vocab, hidden}});
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const auto add = [&](std::string_view suffix, std::vector<std::uint64_t> shape) {
      tensors.push_back({layer_tensor_name(layer, suffix), std::move(shape)});
    };
    add("input_layernorm.weight", {hidden});
    add("self_attn.q_proj.weight", {query, hidden});
    add("self_attn.k_proj.weight", {kv, hidden});
    add("self_attn.v_proj.weight", {kv, hidden});
    if (config.qkv_bias) {
      add("self_attn.q_proj.bias", {query});
      add("self_attn.k_proj.bias", {kv});
      add("self_attn.v_proj.bias", {kv});
    }
    add("self_attn.o_proj.weight", {hidden, query});
    add("post_attention_layernorm.weight", {hidden});
    if (config.post_norms) {
      add("pre_feedforward_layernorm.weight", {hidden});
      add("post_feedforward_layernorm.weight", {hidden});
    }
    add("mlp.gate_proj.weight", {inner, hidden});
    add("mlp.up_proj.weight", {inner, hidden});
    add("mlp.down_proj.weight", {hidden, inner});
  }
  tensors.push_back({"model.norm.weight", {hidden}});
  if (!config.tied_embeddings) tensors.push_back({kOutput, {vocab, hidden}});
  return tensors;
}

std::string embedding_tensor_name(const TensorStore& store, const ModelConfig& config) {
  const bool only_output =
      config.tied_embeddings && !store.contains(kEmbedding) && store.contains(kOutput);
  return only_output ? kOutput : kEmbedding;
}

std::string output_tensor_name(const TensorStore& store, const ModelConfig& config) {
  return config.tied_embeddings ? embedding_tensor_name(store, config) : kOutput;
}

void check_tensors(const TensorStore& store, const ModelConfig& config) {
  std::set<std::string, std::less<>> known;
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    const std::string name =
        tensor.name == kEmbedding ? embedding_tensor_name(store, config) : tensor.name;
    (void)store.get(name, tensor.shape);
    known.insert(store.stored_name(name));
  }
  if (config.rope.type == kRopeOfDivisors) known.emplace(kGgufRopeFactors);
  for (const std::string& name : store.names()) {
    const bool second_copy = config.tied_embeddings && (name == kOutput || name == kEmbedding);
    if (known.count(name) > 0 || second_copy || ends_with(name, kRotaryBuffer)) continue;
    throw Error(fmt::format("{}: tensor {} is left over: a {} of {} layers{} has none of this name",
                            store.file_of(name).string(), in_quotes(name), config.architecture,
                            config.num_layers,
                            config.tied_embeddings ? " with tied embeddings" : ""));
  }
}

}  // namespace toplens
