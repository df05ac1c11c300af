#include "model/gguf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/rope_table.h"
#include "support/error_message.h"
#include "support/gguf_bytes.h"

namespace toplens {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using testing::error_message;
using testing::GgufBytes;
using ::testing::HasSubstr;

GgufBytes model_of(const std::string& architecture, std::uint32_t layers = 2) {
  const std::string a = architecture + ".";
  GgufBytes file;
  file.key("general.architecture", architecture.c_str())
      .key(a + "block_count", layers)
      .key(a + "context_length", 64u)
      .key(a + "embedding_length", 32u)
      .key(a + "feed_forward_length", 48u)
      .key(a + "attention.head_count", 4u)
      .key(a + "attention.head_count_kv", 2u)
      .key(a + "attention.layer_norm_rms_epsilon", 1e-6f);
  file.tensor("token_embd.weight", {32, 100}, 1, 0);
  return file;
}

ModelConfig parse(const GgufBytes& file) {
  const std::string bytes = file.bytes(1 << 14);
  const auto span = std::as_bytes(std::span(bytes.data(), bytes.size()));
  return gguf_model_config(parse_gguf_header(span, "m.gguf"), span);
}

std::string message_of(const GgufBytes& file) {
  return error_message([&] { (void)parse(file); });
}

TEST(GgufConfig, Llama) {
  const ModelConfig config = parse(model_of("llama")
                                       .key("llama.rope.freq_base", 5e5f)
                                       .key("llama.vocab_size", 100u)
                                       .key("tokenizer.ggml.bos_token_id", 1u));
  EXPECT_EQ(config.architecture, "LlamaForCausalLM");
  EXPECT_EQ(config.num_layers, 2);
  EXPECT_EQ(config.head_dim, 8);
  EXPECT_EQ(config.num_kv_heads, 2);
  EXPECT_EQ(config.vocab_size, 100);
  EXPECT_EQ(config.norm_epsilon, 1e-6);
  EXPECT_EQ(config.rope.theta, 5e5);
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_EQ(config.eos_token_id, std::nullopt);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_TRUE(config.interleaved_qk);
  EXPECT_THAT(config.layer_window, Each(0));
  EXPECT_FALSE(
      parse(model_of("llama").tensor("output.weight", {32, 100}, 1, 8192)).tied_embeddings);
}

TEST(GgufConfig, AWindowMakesLlamaAMistral) {
  const ModelConfig config = parse(model_of("llama").key("llama.attention.sliding_window", 16u));
  EXPECT_EQ(config.architecture, "MistralForCausalLM");
  EXPECT_THAT(config.layer_window, Each(16));
}

TEST(GgufConfig, Qwen2AndGemma) {
  const ModelConfig qwen2 = parse(model_of("qwen2"));
  EXPECT_TRUE(qwen2.qkv_bias);
  EXPECT_FALSE(qwen2.interleaved_qk);
  const ModelConfig gemma = parse(model_of("gemma").key("gemma.attention.key_length", 16u));
  EXPECT_EQ(gemma.head_dim, 16);
  EXPECT_EQ(gemma.norm_weight_offset, 0.0);
  EXPECT_GT(gemma.embedding_scale, 5.0);
  EXPECT_EQ(gemma.activation, Activation::gelu_tanh);
}

TEST(GgufConfig, Gemma2TakesTheScaleOfItsQueriesAsLlamaCppDoes) {
  const auto gemma2 = [](std::uint32_t layers) {
    return parse(model_of("gemma2", layers)
                     .key("gemma2.attention.key_length", 16u)
                     .key("gemma2.attention.sliding_window", 8u)
                     .key("gemma2.attn_logit_softcapping", 50.0f)
                     .key("gemma2.final_logit_softcapping", 30.0f));
  };
  EXPECT_EQ(gemma2(4).query_scale, 0.25);
  EXPECT_THAT(gemma2(4).layer_window, ::testing::ElementsAre(8, 0, 8, 0));
  EXPECT_EQ(gemma2(4).final_softcap, 30.0);
  EXPECT_EQ(gemma2(46).query_scale, 1 / std::sqrt(8.0));  // hidden / heads
}

TEST(GgufConfig, RopeScaling) {
  const ModelConfig linear = parse(model_of("llama")
                                       .key("llama.rope.scaling.type", "linear")
                                       .key("llama.rope.scaling.factor", 4.0f));
  EXPECT_EQ(linear.rope.type, "linear");
  EXPECT_EQ(linear.rope.factor, 4.0);
  EXPECT_EQ(parse(model_of("llama").key("llama.rope.scale_linear", 2.0f)).rope.factor, 2.0);
  EXPECT_EQ(parse(model_of("llama").key("llama.rope.scaling.type", "none")).rope.type, "default");
  EXPECT_THAT(message_of(model_of("llama").key("llama.rope.scaling.type", "yarn")),
              HasSubstr("'yarn', expected none or linear"));
}

TEST(GgufConfig, DivisorsOfTheFrequencies) {
  const auto with = [](std::uint64_t count, std::uint32_t type, float value) {
    std::string bytes =
        model_of("llama").tensor("rope_freqs.weight", {count}, type, 8192).bytes(8192);
    for (int i = 0; i < 4; ++i) bytes += GgufBytes::raw(value);
    bytes.resize(bytes.size() + 64);
    const auto span = std::as_bytes(std::span(bytes.data(), bytes.size()));
    return gguf_model_config(parse_gguf_header(span, "m.gguf"), span);
  };
  const ModelConfig config = with(4, 0, 8.0f);
  EXPECT_THAT(config.rope.divisors, ::testing::ElementsAre(8, 8, 8, 8));
  EXPECT_EQ(rope_inverse_frequencies(config.rope, 8)[0], 0.125);
  EXPECT_THAT(error_message([&] { with(5, 0, 8.0f); }), HasSubstr("expected F32 of shape [4]"));
  EXPECT_THAT(error_message([&] { with(4, 1, 8.0f); }), HasSubstr("is F16 of shape [4]"));
  EXPECT_THAT(error_message([&] { with(4, 0, 0.0f); }), HasSubstr("holds 0, expected"));
}

TEST(GgufConfig, WhatIsNotSupportedIsNamed) {
  EXPECT_THAT(message_of(GgufBytes()), HasSubstr("'general.architecture' is missing"));
  EXPECT_THAT(message_of(model_of("qwen3")),
              AllOf(HasSubstr("m.gguf: architecture 'qwen3' is not supported"),
                    HasSubstr("llama, qwen2, gemma, gemma2")));
  EXPECT_THAT(message_of(model_of("llama").key("llama.expert_count", 8u)),
              HasSubstr("'llama.expert_count' is 8, expected an integer from 0 to 0"));
  EXPECT_THAT(message_of(model_of("llama").key("llama.attention.clamp_kqv", 8.0f)),
              AllOf(HasSubstr("'llama.attention.clamp_kqv' is 8"), HasSubstr("not understood")));
  EXPECT_THAT(message_of(model_of("qwen2").key("qwen2.attention.sliding_window", 8u)),
              HasSubstr("not understood"));
  EXPECT_THAT(message_of(model_of("llama").key("llama.rope.dimension_count", 4u)),
              HasSubstr("'llama.rope.dimension_count' is 4, expected an integer from 8 to 8"));
  EXPECT_THAT(message_of(model_of("llama").key("llama.attention.value_length", 4u)),
              HasSubstr("value_length"));
  EXPECT_THAT(message_of(model_of("llama").key("split.count", 3u)), HasSubstr("merge the parts"));
  EXPECT_THAT(message_of(model_of("llama").key("tokenizer.ggml.bos_token_id", 100u)),
              HasSubstr("bos_token_id"));
  EXPECT_THAT(message_of(model_of("llama", 0)), HasSubstr("'llama.block_count' is 0"));
  EXPECT_THAT(message_of(model_of("llama", 20000)), HasSubstr("num_hidden_layers"));
  GgufBytes no_embedding;
  no_embedding.key("general.architecture", "gemma");
  EXPECT_THAT(message_of(no_embedding), HasSubstr("'gemma.embedding_length' is missing"));
}

}  // namespace
}  // namespace toplens
