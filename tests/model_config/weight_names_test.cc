#include "model/weight_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "support/error_message.h"
#include "support/safetensors_file.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_message;
using ::testing::HasSubstr;
using testing::ScratchDirectory;
using testing::StoredTensor;

ModelConfig tiny(bool tied) {
  ModelConfig config;
  config.architecture = "LlamaForCausalLM";
  config.num_layers = 2;
  config.hidden_size = 4;
  config.intermediate_size = 6;
  config.num_query_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 2;
  config.vocab_size = 10;
  config.tied_embeddings = tied;
  return config;
}

std::vector<StoredTensor> tensors_of(const ModelConfig& config) {
  std::vector<StoredTensor> tensors;
  for (const ExpectedTensor& expected : expected_tensors(config)) {
    std::uint64_t count = 1;
    for (const std::uint64_t dimension : expected.shape) count *= dimension;
    tensors.push_back({expected.name, "BF16", expected.shape, std::string(2 * count, 'x')});
  }
  return tensors;
}

StoredTensor& find(std::vector<StoredTensor>& tensors, const std::string& name) {
  return *std::find_if(tensors.begin(), tensors.end(),
                       [&](const StoredTensor& tensor) { return tensor.name == name; });
}

/// Writes the tensors and runs `action` on the store.
template <typename Action>
void with_store(const std::vector<StoredTensor>& tensors, const Action& action) {
  const ScratchDirectory directory;
  testing::write_bytes(directory / "model.safetensors", testing::safetensors_bytes(tensors));
  action(TensorStore(directory.path()));
}

std::string message_of(const std::vector<StoredTensor>& tensors, const ModelConfig& config) {
  std::string message;
  with_store(tensors, [&](const TensorStore& store) {
    message = error_message([&] { check_tensors(store, config); });
  });
  return message;
}

TEST(WeightNames, GoldenCheckpointsHaveExactlyTheExpectedTensors) {
  for (const auto& model : testing::golden_models()) {
    const ModelConfig config = read_model_config(model);
    const TensorStore store(model);
    EXPECT_NO_THROW(check_tensors(store, config)) << model;
    EXPECT_EQ(store.names().size(), expected_tensors(config).size()) << model;
  }
}

TEST(WeightNames, ShapesOfGroupedQueriesWithBiasesAndPostNorms) {
  ModelConfig config = tiny(false);
  config.head_dim = 6;
  config.qkv_bias = true;
  config.post_norms = true;
  std::vector<StoredTensor> tensors = tensors_of(config);
  EXPECT_THAT(find(tensors, "model.layers.1.self_attn.k_proj.weight").shape, ElementsAre(12, 4));
  EXPECT_THAT(find(tensors, "model.layers.1.self_attn.o_proj.weight").shape, ElementsAre(4, 24));
  EXPECT_THAT(find(tensors, "model.layers.0.self_attn.q_proj.bias").shape, ElementsAre(24));
  EXPECT_THAT(find(tensors, "model.layers.0.pre_feedforward_layernorm.weight").shape,
              ElementsAre(4));
  EXPECT_THAT(find(tensors, "lm_head.weight").shape, ElementsAre(10, 4));
}

TEST(WeightNames, EachMissingTensorIsNamed) {
  const ModelConfig config = tiny(false);
  const std::vector<StoredTensor> whole = tensors_of(config);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::vector<StoredTensor> tensors = whole;
    tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_THAT(message_of(tensors, config),
                AllOf(HasSubstr("'" + whole[i].name + "'"), HasSubstr("missing")));
  }
}

TEST(WeightNames, WrongShapeDtypeAndLeftOverTensorsAreNamed) {
  const ModelConfig config = tiny(false);
  std::vector<StoredTensor> tensors = tensors_of(config);
  find(tensors, "model.layers.1.mlp.up_proj.weight").shape = {4, 6};
  EXPECT_THAT(message_of(tensors, config),
              AllOf(HasSubstr("model.safetensors"), HasSubstr("layers.1.mlp.up_proj.weight'"),
                    HasSubstr("[4, 6]"), HasSubstr("[6, 4]")));
  tensors = tensors_of(config);
  find(tensors, "model.norm.weight").dtype = "I16";
  EXPECT_THAT(message_of(tensors, config),
              AllOf(HasSubstr("'model.norm.weight'"), HasSubstr("'I16'"), HasSubstr("BF16")));
  for (const char* name :
       {"model.layers.2.mlp.up_proj.weight", "model.layers.0.self_attn.q_proj.bias",
        "model.layers.0.self_attn.q_norm.weight"}) {
    tensors = tensors_of(config);
    tensors.push_back({name, "BF16", {1}, "xx"});
    EXPECT_THAT(message_of(tensors, config),
                AllOf(HasSubstr("model.safetensors"), HasSubstr(std::string("'") + name + "'"),
                      HasSubstr("left over")));
  }
}

TEST(WeightNames, RotaryBuffersAreIgnored) {
  std::vector<StoredTensor> tensors = tensors_of(tiny(false));
  tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {1}, "xxxx"});
  with_store(tensors,
             [](const TensorStore& store) { EXPECT_NO_THROW(check_tensors(store, tiny(false))); });
}

TEST(WeightNames, ATiedModelStoresEitherEmbeddingOrBoth) {
  const ModelConfig config = tiny(true);
  std::vector<StoredTensor> tensors = tensors_of(config);
  const auto names = [&](const TensorStore& store) {
    check_tensors(store, config);
    EXPECT_EQ(embedding_tensor_name(store, config), output_tensor_name(store, config));
    return embedding_tensor_name(store, config);
  };
  with_store(tensors, [&](const TensorStore& store) {
    EXPECT_EQ(names(store), "model.embed_tokens.weight");
  });
  tensors.push_back(find(tensors, "model.embed_tokens.weight"));
  tensors.back().name = "lm_head.weight";
  with_store(tensors, [&](const TensorStore& store) {
    EXPECT_EQ(names(store), "model.embed_tokens.weight");
  });
  tensors.erase(tensors.begin());
  with_store(tensors, [&](const TensorStore& store) { EXPECT_EQ(names(store), "lm_head.weight"); });
  tensors.pop_back();
  EXPECT_THAT(message_of(tensors, config), HasSubstr("'model.embed_tokens.weight'"));
}

}  // namespace
}  // namespace toplens
