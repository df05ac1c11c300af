#include "model/gguf_config.h"

#include <fmt/format.h>
#include <toplens/error.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "checkpoint/gguf_types.h"
#include "io/json_text.h"
#include "kernels/convert.h"

namespace toplens {
namespace {

constexpr std::int64_t kMost = std::numeric_limits<int>::max();

/// How a GGUF architecture maps to one of the table.
struct GgufArchitecture {
  std::string_view name;
  std::string_view hugging_face;
  bool interleaved_qk = false;
  bool reads_window = false;
  bool reads_softcaps = false;
};

constexpr std::array<GgufArchitecture, 4> kArchitectures = {{
    {"llama", "LlamaForCausalLM", true, true, false},
    {"qwen2", "Qwen2ForCausalLM", false, false, false},
    {"gemma", "GemmaForCausalLM", false, false, false},
    {"gemma2", "Gemma2ForCausalLM", false, true, true},
}};

// Gemma-2's configuration has a scale of the queries that GGUF does not store; llama.cpp takes
// head_dim, and hidden_size / heads for the one published model that has another, by its layers.
constexpr int kLayersOfGemma2With27B = 46;

const GgufArchitecture& read_architecture(const GgufMetadata& metadata) {
  const std::string_view name = metadata.text("general.architecture");
  std::string known;
  for (const GgufArchitecture& row : kArchitectures) {
    if (row.name == name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  throw Error(fmt::format("{}: architecture {} is not supported; supported in GGUF are: {}",
                          metadata.where(), in_quotes(name), known));
}

/// The keys "<architecture>.<rest>" of the metadata. What nobody asks for is what nobody
/// understands.
class ArchitectureKeys {
 public:
  ArchitectureKeys(const GgufMetadata& metadata, std::string_view architecture)
      : metadata_(metadata), prefix_(std::string(architecture) + ".") {}

  bool has(std::string_view rest) { return metadata_.has(key(rest)); }
  std::int64_t integer(std::string_view rest, std::optional<std::int64_t> fallback = {}) {
    return metadata_.integer(key(rest), 1, kMost, fallback);
  }
  double number(std::string_view rest, std::optional<double> fallback = {}) {
    return metadata_.number(key(rest), fallback);
  }
  std::string_view text(std::string_view rest) { return metadata_.text(key(rest)); }
  void ignore(std::string_view rest) { (void)key(rest); }
  /// A key that may be there only with this value.
  void expect(std::string_view rest, std::int64_t only) {
    const std::string name = key(rest);
    if (metadata_.has(name)) (void)metadata_.integer(name, only, only);
  }
  void expect_text(std::string_view rest, std::string_view only) {
    if (has(rest) && text(rest) != only) fail(rest, fmt::format("'{}'", only));
  }
  void expect_true(std::string_view rest) {
    if (!metadata_.boolean(key(rest), true)) fail(rest, "true (all that is supported)");
  }
  [[noreturn]] void fail(std::string_view rest, std::string_view expected) {
    metadata_.fail(key(rest), expected);
  }

  void check_all_understood() const {
    for (const std::string_view found : metadata_.keys()) {
      if (found.substr(0, prefix_.size()) != prefix_ || asked_.count(found) > 0) continue;
      metadata_.fail(found, fmt::format("no such key: it is not understood and may change the "
                                        "mathematics; these are read: {}",
                                        fmt::join(asked_, ", ")));
    }
  }

 private:
  std::string key(std::string_view rest) {
    std::string name = prefix_ + std::string(rest);
    asked_.insert(name);
    return name;
  }
  const GgufMetadata& metadata_;
  std::string prefix_;
  std::set<std::string, std::less<>> asked_;
};

/// What does not change a forward pass here, and what may only say "not here".
void read_inert_keys(ArchitectureKeys& keys) {
  for (const char* key : {"vocab_size", "tensor_data_layout", "rope.scaling.finetuned",
                          "rope.scaling.original_context_length"}) {
    keys.ignore(key);
  }
  keys.expect("expert_count", 0);
  keys.expect("expert_used_count", 0);
  keys.expect("pooling_type", 0);
  keys.expect_true("attention.causal");
}

nlohmann::json rope_scaling(ArchitectureKeys& keys) {
  const std::string type =
      keys.has("rope.scaling.type") ? std::string(keys.text("rope.scaling.type")) : "none";
  double factor = keys.number("rope.scaling.factor", 1.0);
  // Old files have this key and mean linear.
  if (keys.has("rope.scale_linear")) factor = keys.number("rope.scale_linear");
  if (type != "none" && type != "linear") {
    keys.fail("rope.scaling.type", "none or linear (the supported types)");
  }
  const bool linear = type == "linear" || keys.has("rope.scale_linear");
  if (!linear || factor == 1.0 || factor == 0.0) return nullptr;
  return {{"type", "linear"}, {"factor", factor}};
}

/// Llama-3.1's scaling: a tensor of divisors.
void read_divisors(const GgufHeader& header, std::span<const std::byte> file, RopeConfig& rope,
                   int head_dim) {
  const GgufTensor* tensor = header.find(kGgufRopeFactors);
  if (tensor == nullptr) return;
  const auto fail = [&](const std::string& what) {
    throw Error(
        fmt::format("{}: tensor {} {}", header.metadata.where(), in_quotes(tensor->name), what));
  };
  if (rope.type != "default") fail("divides frequencies that rope.scaling has scaled already");
  const auto half = static_cast<std::uint64_t>(head_dim / 2);
  if (tensor->type != DataType::f32 || tensor->shape.size() != 1 || tensor->shape[0] != half) {
    fail(fmt::format("is {} of shape [{}], expected F32 of shape [{}], half of head_dim",
                     tensor->type_name, fmt::join(tensor->shape, ", "), half));
  }
  rope.type = kRopeOfDivisors;
  rope.divisors.resize(half);
  convert_to_f32(file.data() + header.data_offset + tensor->begin, DataType::f32, rope.divisors);
  for (const float divisor : rope.divisors) {
    if (!std::isfinite(divisor) || !(divisor > 0)) {
      fail(fmt::format("holds {}, expected numbers > 0", divisor));
    }
  }
}

std::int64_t vocabulary_size(const GgufHeader& header) {
  const GgufTensor* embedding = header.find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    throw Error(fmt::format("{}: tensor 'token_embd.weight' {}", header.metadata.where(),
                            embedding == nullptr ? "is missing" : "is no matrix"));
  }
  return static_cast<std::int64_t>(
      std::min<std::uint64_t>(embedding->shape[0], static_cast<std::uint64_t>(kMost)));
}

nlohmann::json token_id(const GgufMetadata& metadata, const char* key) {
  if (!metadata.has(key)) return nullptr;
  return metadata.integer(key, 0, kMost);
}

}  // namespace

ModelConfig gguf_model_config(const GgufHeader& header, std::span<const std::byte> file) {
  const GgufMetadata& metadata = header.metadata;
  const GgufArchitecture& architecture = read_architecture(metadata);
  if (metadata.has("split.count")) {
    const std::int64_t parts = metadata.integer("split.count", 0, kMost);
    if (parts > 1) metadata.fail("split.count", "1: merge the parts first");
  }
  ArchitectureKeys keys(metadata, architecture.name);
  const std::int64_t hidden = keys.integer("embedding_length");
  const std::int64_t heads = keys.integer("attention.head_count");
  const std::int64_t head_dim = keys.integer("attention.key_length", hidden / heads);
  keys.expect("attention.value_length", head_dim);
  keys.expect("rope.dimension_count", head_dim);

  // As the config.json that the file was made from, so that there is one place for the rules.
  nlohmann::json config = {{"architectures", {architecture.hugging_face}},
                           {"hidden_size", hidden},
                           {"intermediate_size", keys.integer("feed_forward_length")},
                           {"num_hidden_layers", keys.integer("block_count")},
                           {"num_attention_heads", heads},
                           {"num_key_value_heads", keys.integer("attention.head_count_kv", heads)},
                           {"head_dim", head_dim},
                           {"vocab_size", vocabulary_size(header)},
                           {"max_position_embeddings", keys.integer("context_length")},
                           {"rms_norm_eps", keys.number("attention.layer_norm_rms_epsilon")},
                           {"rope_theta", keys.number("rope.freq_base", 10000.0)},
                           {"rope_scaling", rope_scaling(keys)},
                           {"tie_word_embeddings", header.find("output.weight") == nullptr},
                           {"bos_token_id", token_id(metadata, "tokenizer.ggml.bos_token_id")},
                           {"eos_token_id", token_id(metadata, "tokenizer.ggml.eos_token_id")}};
  if (architecture.reads_window && keys.has("attention.sliding_window")) {
    config["sliding_window"] = keys.integer("attention.sliding_window");
    if (architecture.name == "llama") config["architectures"] = {"MistralForCausalLM"};
  }
  if (architecture.reads_softcaps) {
    config["attn_logit_softcapping"] = keys.number("attn_logit_softcapping", 50.0);
    config["final_logit_softcapping"] = keys.number("final_logit_softcapping", 30.0);
    config["query_pre_attn_scalar"] =
        config["num_hidden_layers"] == kLayersOfGemma2With27B ? hidden / heads : head_dim;
  }
  read_inert_keys(keys);
  keys.check_all_understood();

  ModelConfig model = parse_model_config(config.dump(), metadata.where());
  model.interleaved_qk = architecture.interleaved_qk;
  model.norm_weight_offset = 0.0;  // Gemma's norm weights are stored with 1 added
  read_divisors(header, file, model.rope, model.head_dim);
  return model;
}

}  // namespace toplens
