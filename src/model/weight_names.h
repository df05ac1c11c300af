#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/tensor_store.h"
#include "model/model_config.h"

namespace toplens {

struct ExpectedTensor {
  std::string name;
  std::vector<std::uint64_t> shape;
};

/// "model.layers.<layer>.<suffix>", for example with the suffix "self_attn.q_proj.weight".
std::string layer_tensor_name(int layer, std::string_view suffix);

/// All tensors of a model with their shapes, in the order of the forward pass. A tied model is
/// listed with model.embed_tokens.weight and without lm_head.weight.
std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config);

/// The names under which a checkpoint stores the input and the output embedding: a tied model may
/// have either model.embed_tokens.weight (which wins) or lm_head.weight for both.
std::string embedding_tensor_name(const TensorStore& store, const ModelConfig& config);
std::string output_tensor_name(const TensorStore& store, const ModelConfig& config);

/// Throws Error for the first tensor that is missing or has the wrong shape or dtype, then for one
/// that is left over: names neither expected, nor `*.rotary_emb.inv_freq`, nor a tied model's
/// second copy of its embedding.
void check_tensors(const TensorStore& store, const ModelConfig& config);

}  // namespace toplens
