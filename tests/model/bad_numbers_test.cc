// NaN, infinity and token ids outside the vocabulary: each is an Error that names the place.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/engine_run.h"
#include "support/error_message.h"
#include "support/safetensors_writer.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

using ::testing::AllOf;
using testing::EngineCut;
using ::testing::HasSubstr;
using testing::run_engine;
using testing::TokenIds;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct BadWeight {
  std::string model;
  std::string tensor;
  std::string place;  ///< in the message
  std::size_t element = 5;
};

class NonFinite : public ::testing::TestWithParam<BadWeight> {};

TEST_P(NonFinite, WeightIsReportedWithItsLayerAndTensor) {
  const BadWeight& bad = GetParam();
  const auto golden = testing::golden_directory() / bad.model;
  const std::vector<TokenIds> documents = {testing::golden_tokens(golden), {1, 2, 3}};
  for (const ComputeType compute : {ComputeType::f32, ComputeType::bf16}) {
    if (compute == ComputeType::bf16 && !has_fast_bf16()) continue;
    for (const float value : {std::nanf(""), kInfinity, -kInfinity}) {
      const testing::ScratchDirectory scratch;
      testing::copy_checkpoint(golden, scratch / "model");
      testing::set_element(scratch / "model", bad.tensor, bad.element, value);
      const CheckpointModel model(scratch / "model");
      const std::string message =
          testing::error_message([&] { run_engine(model, documents, compute, EngineCut{2}); });
      EXPECT_THAT(message, AllOf(HasSubstr(bad.place), HasSubstr(bad.tensor),
                                 HasSubstr(std::isnan(value) ? "NaN" : "infinity"),
                                 HasSubstr("element " + std::to_string(bad.element))))
          << value << " in " << name(compute);
    }
  }
}

std::vector<BadWeight> bad_weights() {
  std::vector<BadWeight> weights;
  const auto add_layer = [&](const std::string& model, std::initializer_list<const char*> names) {
    for (const char* name : names) {
      weights.push_back({model, std::string("model.layers.1.") + name, "layer 1"});
    }
  };
  add_layer("tiny-llama", {"input_layernorm.weight", "self_attn.q_proj.weight",
                           "self_attn.k_proj.weight", "self_attn.v_proj.weight",
                           "self_attn.o_proj.weight", "post_attention_layernorm.weight",
                           "mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight"});
  add_layer("tiny-gemma2", {"self_attn.q_proj.weight", "self_attn.k_proj.weight",
                            "self_attn.v_proj.weight", "post_attention_layernorm.weight",
                            "pre_feedforward_layernorm.weight", "post_feedforward_layernorm.weight",
                            "mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight"});
  add_layer("tiny-qwen2",
            {"self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"});
  add_layer("tiny-mistral", {"self_attn.k_proj.weight", "mlp.up_proj.weight"});
  for (const char* model : {"tiny-llama", "tiny-gemma2"}) {
    weights.push_back({model, "model.norm.weight", "output head"});
    // Of token 1, which the second document has.
    weights.push_back({model, "model.embed_tokens.weight", "embedding", 48 + 5});
  }
  weights.push_back({"tiny-llama", "lm_head.weight", "output head"});
  return weights;
}

INSTANTIATE_TEST_SUITE_P(Weights, NonFinite, ::testing::ValuesIn(bad_weights()),
                         [](const auto& info) {
                           std::string name = info.param.model + "_" + info.param.tensor;
                           for (char& c : name)
                             c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
                           return name;
                         });

TEST(NonFiniteLogits, OfATokenThatNobodyPredictsAreReportedDespiteTheSoftcap) {
  // The embedding is the output head too; its row 7 is no input of these documents.
  for (const std::string name : {"tiny-gemma2", "tiny-gemma"}) {
    for (const float value : {std::nanf(""), kInfinity, -kInfinity}) {
      const testing::ScratchDirectory scratch;
      testing::copy_checkpoint(testing::golden_directory() / name, scratch / "model");
      testing::set_element(scratch / "model", "model.embed_tokens.weight", 7 * 48 + 3, value);
      const CheckpointModel model(scratch / "model");
      const std::vector<TokenIds> documents = {{1, 2, 3, 4, 5, 6}};
      EXPECT_THAT(testing::error_message(
                      [&] { run_engine(model, documents, ComputeType::f32, EngineCut{2}); }),
                  AllOf(HasSubstr("output head"), HasSubstr("model.embed_tokens.weight"),
                        HasSubstr("document 0")))
          << name << ' ' << value;
    }
  }
}

TEST(NonFiniteLogits, AreReportedWhereLogitsAreStored) {
  const testing::ScratchDirectory scratch;
  testing::copy_checkpoint(testing::golden_directory() / "tiny-llama", scratch / "model");
  testing::set_element(scratch / "model", "lm_head.weight", 100, std::nanf(""));
  const CheckpointModel model(scratch / "model");
  const TokenIds ids = {1, 2, 3};
  const Lane lanes[] = {{ids}};
  ThreadPool pool(2);
  EnginePlan plan;
  plan.block_rows = 64;
  const HiddenStates hidden = ForwardPass(model, pool, plan).run(lanes, {});
  EXPECT_THAT(testing::error_message([&] {
                OutputHead(model, pool, plan)
                    .logits(hidden, 0, [](std::size_t, std::size_t, std::span<const float>) {});
              }),
              AllOf(HasSubstr("output head"), HasSubstr("lm_head.weight")));
}

TEST(Overflow, OfActivationsIsReportedWithTheLayer) {
  const testing::ScratchDirectory scratch;
  testing::copy_checkpoint(testing::golden_directory() / "tiny-llama", scratch / "model");
  // Finite weights whose product is not.
  testing::set_element(scratch / "model", "model.layers.2.self_attn.v_proj.weight", 3, 3e38f);
  testing::set_element(scratch / "model", "model.layers.2.self_attn.v_proj.weight", 4, 3e38f);
  testing::set_element(scratch / "model", "model.layers.2.input_layernorm.weight", 3, 1e6f);
  testing::set_element(scratch / "model", "model.layers.2.input_layernorm.weight", 4, 1e6f);
  const CheckpointModel model(scratch / "model");
  const std::vector<TokenIds> documents = {{1, 2, 3}};
  EXPECT_THAT(
      testing::error_message([&] { run_engine(model, documents, ComputeType::f32, EngineCut{2}); }),
      AllOf(HasSubstr("layer 2"), HasSubstr("the weights are finite"),
            HasSubstr("document 0 at token 0")));
}

TEST(TokenIds, OutsideTheVocabularyAreNamed) {
  const CheckpointModel model(testing::golden_directory() / "tiny-llama");
  for (const std::int32_t id : {-1, 320, 2147483647}) {
    const std::vector<TokenIds> documents = {{1, 2}, {3, id, 4}};
    EXPECT_THAT(testing::error_message(
                    [&] { run_engine(model, documents, ComputeType::f32, EngineCut()); }),
                AllOf(HasSubstr("document 1"), HasSubstr("token id " + std::to_string(id)),
                      HasSubstr("position 1"), HasSubstr("vocabulary of 320")));
  }
}

}  // namespace
}  // namespace toplens
