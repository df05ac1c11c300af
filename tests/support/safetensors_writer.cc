#include "support/safetensors_writer.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/random.h"
#include "checkpoint/tensor_store.h"
#include "io/mapped_file.h"
#include "support/number_formats.h"
#include "support/safetensors_file.h"

namespace toplens::testing {

namespace fs = std::filesystem;

std::string encode(std::span<const float> values, DataType type) {
  std::string bytes(values.size() * bytes_per_element(type), '\0');
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (type == DataType::f32) {
      std::memcpy(bytes.data() + 4 * i, &values[i], 4);
    } else {
      const std::uint16_t half = type == DataType::f16 ? f16_bits(values[i]) : bf16_bits(values[i]);
      std::memcpy(bytes.data() + 2 * i, &half, 2);
    }
  }
  return bytes;
}

void write_checkpoint(const fs::path& directory, const nlohmann::json& config,
                      const TestTensors& tensors, DataType type) {
  std::vector<StoredTensor> stored;
  for (const auto& [name, tensor] : tensors) {
    stored.push_back(
        {name, std::string(toplens::name(type)), tensor.shape, encode(tensor.values, type)});
  }
  fs::create_directories(directory);
  write_bytes(directory / "config.json", config.dump(1));
  write_bytes(directory / "model.safetensors", safetensors_bytes(stored));
}

void copy_checkpoint(const fs::path& from, const fs::path& to) {
  fs::create_directories(to);
  for (const auto& entry : fs::directory_iterator(from)) {
    if (!entry.is_regular_file()) continue;
    fs::copy_file(entry.path(), to / entry.path().filename());
    fs::permissions(to / entry.path().filename(), fs::perms::owner_write, fs::perm_options::add);
  }
}

void set_element(const fs::path& checkpoint, const std::string& tensor, std::size_t element,
                 float value) {
  const fs::path path = TensorStore(checkpoint).file_of(tensor);
  std::uint64_t at = 0;
  DataType type = DataType::f32;
  {
    const MappedFile file(path);
    const SafetensorsHeader header = parse_safetensors_header(file.bytes(), path.string());
    for (const SafetensorsEntry& entry : header.entries) {
      if (entry.name != tensor) continue;
      if (entry.dtype == "F16") type = DataType::f16;
      if (entry.dtype == "BF16") type = DataType::bf16;
      at = header.data_offset + entry.begin + element * bytes_per_element(type);
      if (at >= header.data_offset + entry.end) throw std::out_of_range(tensor);
    }
  }
  const std::string bytes = encode(std::span(&value, 1), type);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(at));
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file) throw std::runtime_error("cannot change " + path.string());
}

void write_random_llama(const fs::path& directory, DataType type) {
  constexpr std::uint64_t kHidden = 40, kInner = 1100, kVocabulary = 1500, kHeadDim = 10;
  constexpr std::uint64_t kHeads = 4, kKvHeads = 2;
  const nlohmann::json config = {{"architectures", {"LlamaForCausalLM"}},
                                 {"model_type", "llama"},
                                 {"hidden_size", kHidden},
                                 {"intermediate_size", kInner},
                                 {"num_hidden_layers", 2},
                                 {"num_attention_heads", kHeads},
                                 {"num_key_value_heads", kKvHeads},
                                 {"vocab_size", kVocabulary},
                                 {"max_position_embeddings", 1024},
                                 {"rms_norm_eps", 1e-5},
                                 {"rope_theta", 10000.0},
                                 {"hidden_act", "silu"},
                                 {"tie_word_embeddings", false}};
  Random random(99);
  TestTensors tensors;
  const auto add = [&](const std::string& name, std::vector<std::uint64_t> shape, double scale,
                       double offset = 0) {
    TestTensor tensor;
    tensor.shape = std::move(shape);
    std::uint64_t count = 1;
    for (const std::uint64_t extent : tensor.shape) count *= extent;
    for (std::uint64_t i = 0; i < count; ++i) {
      tensor.values.push_back(static_cast<float>(offset + scale * (random.uniform() - 0.5)));
    }
    tensors[name] = std::move(tensor);
  };
  add("model.embed_tokens.weight", {kVocabulary, kHidden}, 2);
  add("lm_head.weight", {kVocabulary, kHidden}, 1);
  add("model.norm.weight", {kHidden}, 0.5, 1);
  for (int layer = 0; layer < 2; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    add(prefix + "input_layernorm.weight", {kHidden}, 0.5, 1);
    add(prefix + "post_attention_layernorm.weight", {kHidden}, 0.5, 1);
    add(prefix + "self_attn.q_proj.weight", {kHeads * kHeadDim, kHidden}, 1.5);
    add(prefix + "self_attn.k_proj.weight", {kKvHeads * kHeadDim, kHidden}, 1.5);
    add(prefix + "self_attn.v_proj.weight", {kKvHeads * kHeadDim, kHidden}, 0.7);
    add(prefix + "self_attn.o_proj.weight", {kHidden, kHeads * kHeadDim}, 0.7);
    add(prefix + "mlp.gate_proj.weight", {kInner, kHidden}, 0.7);
    add(prefix + "mlp.up_proj.weight", {kInner, kHidden}, 0.7);
    add(prefix + "mlp.down_proj.weight", {kHidden, kInner}, 0.2);
  }
  write_checkpoint(directory, config, tensors, type);
}

}  // namespace toplens::testing
