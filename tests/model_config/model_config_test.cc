#include "model/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "model_config/published_configs.h"
#include "support/error_message.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::error_message;
using ::testing::HasSubstr;
using ::testing::SizeIs;

ModelConfig golden(const std::string& name) {
  return read_model_config(testing::golden_directory() / name);
}

ModelConfig parse(const json& config) { return parse_model_config(config.dump(), "config.json"); }

json llama() { return testing::published_config("tiny"); }

json with(json config, const std::string& key, const json& value) {
  config[key] = value;
  return config;
}

json without(json config, const std::string& key) {
  config.erase(key);
  return config;
}

std::string message_of(const json& config) {
  const std::string message = error_message([&] { parse(config); });
  EXPECT_THAT(message, HasSubstr("config.json: "));
  return message;
}

TEST(ModelConfig, GoldenLlama) {
  const ModelConfig config = golden("tiny-llama");
  EXPECT_EQ(config.architecture, "LlamaForCausalLM");
  EXPECT_EQ(config.num_layers, 3);
  EXPECT_EQ(config.hidden_size, 48);
  EXPECT_EQ(config.intermediate_size, 112);
  EXPECT_EQ(config.num_query_heads, 4);
  EXPECT_EQ(config.num_kv_heads, 4);
  EXPECT_EQ(config.head_dim, 12);
  EXPECT_EQ(config.vocab_size, 320);
  EXPECT_EQ(config.max_position_embeddings, 512);
  EXPECT_EQ(config.norm_epsilon, 1e-5);
  EXPECT_EQ(config.norm_weight_offset, 0.0);
  EXPECT_EQ(config.embedding_scale, 1.0);
  EXPECT_EQ(config.query_scale, 1.0 / std::sqrt(12.0));
  EXPECT_EQ(config.activation, Activation::silu);
  EXPECT_EQ(config.rope.type, "default");
  EXPECT_EQ(config.rope.theta, 10000.0);
  EXPECT_FALSE(config.qkv_bias || config.post_norms || config.tied_embeddings);
  EXPECT_EQ(config.attention_softcap, 0.0);
  EXPECT_EQ(config.final_softcap, 0.0);
  EXPECT_THAT(config.layer_window, ElementsAre(0, 0, 0));
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_EQ(config.eos_token_id, 2);
}

TEST(ModelConfig, GoldenLlama3) {
  const ModelConfig config = golden("tiny-llama3-gqa");
  EXPECT_EQ(config.num_kv_heads, 2);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.kv_head(3), 0);
  EXPECT_EQ(config.kv_head(4), 1);
  EXPECT_EQ(config.rope.type, "llama3");
  EXPECT_EQ(config.rope.theta, 500000.0);
  EXPECT_EQ(config.rope.factor, 8.0);
  EXPECT_EQ(config.rope.low_freq_factor, 1.0);
  EXPECT_EQ(config.rope.high_freq_factor, 4.0);
  EXPECT_EQ(config.rope.original_max_position_embeddings, 64.0);
  EXPECT_TRUE(config.tied_embeddings);
}

TEST(ModelConfig, GoldenMistralSlidesInEveryLayer) {
  const ModelConfig config = golden("tiny-mistral");
  EXPECT_EQ(config.architecture, "MistralForCausalLM");
  EXPECT_THAT(config.layer_window, ElementsAre(24, 24, 24));
}

TEST(ModelConfig, GoldenGemma) {
  const ModelConfig config = golden("tiny-gemma");
  EXPECT_EQ(config.head_dim, 32);  // 4 heads of it, and a hidden size of 48
  EXPECT_EQ(config.num_kv_heads, 1);
  EXPECT_EQ(config.norm_weight_offset, 1.0);
  EXPECT_EQ(config.embedding_scale, std::sqrt(48.0));
  EXPECT_EQ(config.query_scale, 1.0 / std::sqrt(32.0));
  EXPECT_EQ(config.activation, Activation::gelu_tanh);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_FALSE(config.post_norms);
  EXPECT_THAT(config.layer_window, Each(0));
}

TEST(ModelConfig, GoldenGemma2SlidesInEvenLayers) {
  const ModelConfig config = golden("tiny-gemma2");
  EXPECT_TRUE(config.post_norms);
  EXPECT_EQ(config.attention_softcap, 5.0);
  EXPECT_EQ(config.final_softcap, 8.0);
  EXPECT_EQ(config.query_scale, 1.0 / std::sqrt(24.0));
  EXPECT_THAT(config.layer_window, ElementsAre(20, 0, 20, 0));
}

TEST(ModelConfig, GoldenQwen2) {
  const ModelConfig config = golden("tiny-qwen2");
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_EQ(config.rope.theta, 1e6);
  EXPECT_THAT(config.layer_window, ElementsAre(0, 0));
  EXPECT_EQ(config.bos_token_id, std::nullopt);
  EXPECT_EQ(config.eos_token_id, 2);
}

TEST(ModelConfig, PublishedCheckpointsParse) {
  const ModelConfig llama2 = parse(testing::published_config("llama-2-7b"));
  EXPECT_EQ(llama2.head_dim, 128);
  const ModelConfig llama32 = parse(testing::published_config("llama-3.2-1b"));
  EXPECT_EQ(llama32.rope.factor, 32.0);
  EXPECT_EQ(llama32.eos_token_id, 128001);
  EXPECT_THAT(parse(testing::published_config("mistral-7b-v0.1")).layer_window,
              AllOf(SizeIs(32), Each(4096)));
  EXPECT_THAT(parse(testing::published_config("mistral-7b-v0.3")).layer_window, Each(0));
  const ModelConfig gemma = parse(testing::published_config("gemma-7b"));
  EXPECT_EQ(gemma.activation, Activation::gelu_tanh);
  EXPECT_TRUE(gemma.tied_embeddings);  // the file has no such key
  const ModelConfig gemma2 = parse(testing::published_config("gemma-2-9b"));
  EXPECT_EQ(gemma2.query_scale, 1.0 / 16.0);
  EXPECT_EQ(gemma2.layer_window[40], 4096);
  EXPECT_EQ(gemma2.layer_window[41], 0);
  EXPECT_THAT(parse(testing::published_config("qwen2.5-7b")).layer_window, Each(0));
  EXPECT_EQ(parse(testing::published_config("smollm-135m")).head_dim, 64);
  const ModelConfig newer = parse(testing::published_config("newer-form"));
  EXPECT_EQ(newer.rope.theta, 500000.0);
  EXPECT_EQ(newer.rope.type, "llama3");
}

TEST(ModelConfig, AbsentKeysTakeThePublishedDefaults) {
  const json bare = {{"num_hidden_layers", 30},
                     {"hidden_size", 2048},
                     {"intermediate_size", 64},
                     {"num_attention_heads", 32},
                     {"vocab_size", 100}};
  const auto of = [&](const std::string& architecture) {
    return parse(with(bare, "architectures", {architecture}));
  };
  const ModelConfig llama = of("LlamaForCausalLM");
  EXPECT_EQ(llama.num_kv_heads, 32);
  EXPECT_EQ(llama.head_dim, 64);
  EXPECT_EQ(llama.norm_epsilon, 1e-6);
  EXPECT_EQ(llama.rope.theta, 10000.0);
  EXPECT_EQ(llama.max_position_embeddings, 2048);
  EXPECT_EQ(llama.bos_token_id, 1);
  const ModelConfig mistral = of("MistralForCausalLM");
  EXPECT_EQ(mistral.num_kv_heads, 8);
  EXPECT_THAT(mistral.layer_window, Each(4096));
  const ModelConfig gemma = of("GemmaForCausalLM");
  EXPECT_EQ(gemma.num_kv_heads, 16);
  EXPECT_EQ(gemma.head_dim, 256);
  EXPECT_TRUE(gemma.tied_embeddings);
  EXPECT_EQ(gemma.bos_token_id, 2);
  const ModelConfig gemma2 = of("Gemma2ForCausalLM");
  EXPECT_EQ(gemma2.num_kv_heads, 4);
  EXPECT_EQ(gemma2.attention_softcap, 50.0);
  EXPECT_EQ(gemma2.final_softcap, 30.0);
  EXPECT_EQ(gemma2.query_scale, 1.0 / 16.0);
  EXPECT_EQ(gemma2.layer_window[2], 4096);
  EXPECT_EQ(gemma2.layer_window[3], 0);
  const ModelConfig qwen2 = of("Qwen2ForCausalLM");
  EXPECT_EQ(qwen2.num_kv_heads, 32);
  EXPECT_EQ(qwen2.bos_token_id, std::nullopt);
  EXPECT_THAT(qwen2.layer_window, Each(0));
  const ModelConfig sliding =
      parse(with(with(bare, "architectures", {"Qwen2ForCausalLM"}), "use_sliding_window", true));
  EXPECT_EQ(sliding.layer_window[27], 0);
  EXPECT_EQ(sliding.layer_window[28], 4096);
}

TEST(ModelConfig, LayerTypesWin) {
  const json mistral = with(testing::published_config("mistral-7b-v0.1"), "num_hidden_layers", 2);
  EXPECT_THAT(
      parse(with(mistral, "layer_types", {"full_attention", "sliding_attention"})).layer_window,
      ElementsAre(0, 4096));
  EXPECT_THAT(message_of(with(mistral, "layer_types", {"full_attention"})),
              AllOf(HasSubstr("'layer_types'"), HasSubstr("num_hidden_layers, 2")));
  EXPECT_THAT(message_of(with(mistral, "layer_types", {"full_attention", "chunked_attention"})),
              AllOf(HasSubstr("'chunked_attention' for layer 1"), HasSubstr("sliding_attention")));
  EXPECT_THAT(message_of(with(with(mistral, "sliding_window", nullptr), "layer_types",
                              {"full_attention", "sliding_attention"})),
              HasSubstr("sliding_window is null"));
  EXPECT_THAT(message_of(with(llama(), "layer_types", {"full_attention", "sliding_attention"})),
              HasSubstr("LlamaForCausalLM has no sliding window"));
}

TEST(ModelConfig, UnsupportedArchitecturesAreNamedWithTheSupportedOnes) {
  EXPECT_THAT(message_of(with(llama(), "architectures", {"GPT2LMHeadModel"})),
              AllOf(HasSubstr("'GPT2LMHeadModel'"), HasSubstr("LlamaForCausalLM"),
                    HasSubstr("MistralForCausalLM"), HasSubstr("GemmaForCausalLM"),
                    HasSubstr("Gemma2ForCausalLM"), HasSubstr("Qwen2ForCausalLM")));
  EXPECT_THAT(message_of(without(llama(), "architectures")), HasSubstr("'architectures'"));
  EXPECT_THAT(message_of(with(llama(), "architectures", json::array())),
              HasSubstr("LlamaForCausalLM"));
  EXPECT_THAT(message_of(with(llama(), "model_type", "mistral")),
              AllOf(HasSubstr("'model_type' is 'mistral'"), HasSubstr("'llama'")));
}

TEST(ModelConfig, KeysThatAreNotUnderstoodAreNamed) {
  EXPECT_THAT(message_of(with(llama(), "residual_multiplier", 0.22)),
              AllOf(HasSubstr("'residual_multiplier' is 0.22"), HasSubstr("hidden_size")));
  const struct {
    const char* key;
    json value;
    const char* expected;
  } cases[] = {
      {"attention_bias", true, "false"},
      {"mlp_bias", true, "false"},
      {"pretraining_tp", 2, "1"},
      {"partial_rotary_factor", 0.5, "1.0"},
      {"quantization_config", {{"bits", 4}}, "unquantized"},
      {"auto_map", {{"AutoModel", "x.Y"}}, "own code"},
      {"sliding_window", 4096, "null"},
      {"use_sliding_window", true, "false"},
      {"attn_logit_softcapping", 50.0, "null"},
      {"final_logit_softcapping", 30.0, "null"},
      {"query_pre_attn_scalar", 256, "null"},
      {"use_bidirectional_attention", true, "false"},
  };
  for (const auto& test : cases) {
    EXPECT_THAT(message_of(with(llama(), test.key, test.value)),
                AllOf(HasSubstr(std::string("'") + test.key + "'"), HasSubstr(test.expected)));
  }
  json neutral = llama();
  neutral.update({{"attention_bias", false},
                  {"mlp_bias", false},
                  {"pretraining_tp", 1},
                  {"quantization_config", nullptr},
                  {"sliding_window", nullptr},
                  {"attn_logit_softcapping", nullptr},
                  {"partial_rotary_factor", 1.0}});
  EXPECT_NO_THROW(parse(neutral));
}

TEST(ModelConfig, ValuesOutOfRangeAreNamed) {
  const struct {
    const char* key;
    json value;
  } cases[] = {
      {"num_hidden_layers", 0},
      {"num_hidden_layers", 10'001},
      {"num_hidden_layers", 2.0},
      {"num_hidden_layers", "2"},
      {"hidden_size", -48},
      {"hidden_size", 18446744073709551615u},
      {"hidden_size", nullptr},
      {"hidden_size", true},
      {"hidden_size", 50},
      {"num_attention_heads", 1'000'000},
      {"num_key_value_heads", 3},
      {"head_dim", 0},
      {"vocab_size", (1 << 24) + 1},
      {"max_position_embeddings", 0},
      {"rms_norm_eps", 0},
      {"rms_norm_eps", "1e-5"},
      {"rope_theta", -1},
      {"rope_theta", nullptr},
      {"hidden_act", "gelu"},
      {"tie_word_embeddings", 1},
      {"bos_token_id", 320},
      {"bos_token_id", -1},
      {"bos_token_id", json::array()},
      {"eos_token_id", {"</s>"}},
  };
  for (const auto& test : cases) {
    const std::string message = message_of(with(llama(), test.key, test.value));
    EXPECT_THAT(message, AllOf(HasSubstr(test.key), HasSubstr("expected"))) << test.value;
  }
  EXPECT_THAT(message_of(with(llama(), "head_dim", 7)),
              HasSubstr("head_dim is 7, expected an even"));
  for (const char* key : {"num_hidden_layers", "hidden_size", "intermediate_size",
                          "num_attention_heads", "vocab_size"}) {
    EXPECT_THAT(message_of(without(llama(), key)),
                HasSubstr("key '" + std::string(key) + "' is missing"));
  }
  EXPECT_EQ(parse(with(llama(), "eos_token_id", {5, 7})).eos_token_id, 5);
}

TEST(ModelConfig, GemmaActivations) {
  const json gemma = testing::published_config("gemma-7b");
  for (const json& config :
       {gemma, with(gemma, "hidden_act", "gelu"), with(gemma, "hidden_activation", nullptr),
        without(gemma, "hidden_act"),
        with(with(gemma, "hidden_act", "relu"), "hidden_activation", "gelu_pytorch_tanh")}) {
    EXPECT_EQ(parse(config).activation, Activation::gelu_tanh);
  }
  EXPECT_THAT(message_of(with(without(gemma, "hidden_activation"), "hidden_act", "silu")),
              HasSubstr("'hidden_act' is 'silu'"));
  // The published code would take the erf form here.
  EXPECT_THAT(message_of(with(gemma, "hidden_activation", "gelu")),
              HasSubstr("'hidden_activation' is 'gelu'"));
}

TEST(ModelConfig, Gemma2NullMeansNone) {
  json gemma2 = testing::published_config("gemma-2-9b");
  gemma2.update({{"attn_logit_softcapping", nullptr},
                 {"final_logit_softcapping", nullptr},
                 {"sliding_window", nullptr}});
  const ModelConfig config = parse(gemma2);
  EXPECT_EQ(config.attention_softcap, 0.0);
  EXPECT_EQ(config.final_softcap, 0.0);
  EXPECT_THAT(config.layer_window, Each(0));
  EXPECT_THAT(message_of(with(gemma2, "final_logit_softcapping", 0)),
              HasSubstr("'final_logit_softcapping' is 0"));
}

TEST(ModelConfig, FilesThatAreNoConfigurationAreErrors) {
  EXPECT_THAT(error_message([] { parse_model_config("[]", "config.json"); }),
              HasSubstr("a list, expected an object"));
  EXPECT_THAT(error_message([] { parse_model_config("{", "config.json"); }),
              HasSubstr("not valid JSON"));
  EXPECT_THAT(error_message([] { parse_model_config(std::string(1 << 20, '['), "config.json"); }),
              HasSubstr("nested"));
  const testing::ScratchDirectory directory;
  EXPECT_THAT(error_message([&] { read_model_config(directory.path()); }),
              AllOf(HasSubstr((directory / "config.json").string()), HasSubstr("No such file")));
}

}  // namespace
}  // namespace toplens
