#include "checkpoint/gguf_types.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

namespace toplens {
namespace {

struct TensorType {
  std::uint32_t number;
  std::string_view name;
  std::optional<DataType> type;
};

/// ggml's numbers; those that ggml has given up are left out.
constexpr std::array<TensorType, 32> kTensorTypes = {{
    {0, "F32", DataType::f32},    {1, "F16", DataType::f16},     {2, "Q4_0", DataType::q4_0},
    {3, "Q4_1", DataType::q4_1},  {6, "Q5_0", DataType::q5_0},   {7, "Q5_1", DataType::q5_1},
    {8, "Q8_0", DataType::q8_0},  {9, "Q8_1", std::nullopt},     {10, "Q2_K", std::nullopt},
    {11, "Q3_K", std::nullopt},   {12, "Q4_K", DataType::q4_k},  {13, "Q5_K", DataType::q5_k},
    {14, "Q6_K", DataType::q6_k}, {15, "Q8_K", std::nullopt},    {16, "IQ2_XXS", std::nullopt},
    {17, "IQ2_XS", std::nullopt}, {18, "IQ3_XXS", std::nullopt}, {19, "IQ1_S", std::nullopt},
    {20, "IQ4_NL", std::nullopt}, {21, "IQ3_S", std::nullopt},   {22, "IQ2_S", std::nullopt},
    {23, "IQ4_XS", std::nullopt}, {24, "I8", std::nullopt},      {25, "I16", std::nullopt},
    {26, "I32", std::nullopt},    {27, "I64", std::nullopt},     {28, "F64", std::nullopt},
    {29, "IQ1_M", std::nullopt},  {30, "BF16", DataType::bf16},  {34, "TQ1_0", std::nullopt},
    {35, "TQ2_0", std::nullopt},  {39, "MXFP4", std::nullopt},
}};

const TensorType* find_type(std::uint32_t number) {
  for (const TensorType& row : kTensorTypes) {
    if (row.number == number) return &row;
  }
  return nullptr;
}

using NamePair = std::pair<std::string_view, std::string_view>;

constexpr std::array<NamePair, 3> kModelNames = {
    {{"model.embed_tokens.weight", "token_embd.weight"},
     {"model.norm.weight", "output_norm.weight"},
     {"lm_head.weight", "output.weight"}}};

constexpr std::array<NamePair, 14> kLayerNames = {
    {{"input_layernorm.weight", "attn_norm.weight"},
     {"self_attn.q_proj.weight", "attn_q.weight"},
     {"self_attn.k_proj.weight", "attn_k.weight"},
     {"self_attn.v_proj.weight", "attn_v.weight"},
     {"self_attn.q_proj.bias", "attn_q.bias"},
     {"self_attn.k_proj.bias", "attn_k.bias"},
     {"self_attn.v_proj.bias", "attn_v.bias"},
     {"self_attn.o_proj.weight", "attn_output.weight"},
     {"post_attention_layernorm.weight", "ffn_norm.weight"},
     {"pre_feedforward_layernorm.weight", "ffn_norm.weight"},
     {"post_feedforward_layernorm.weight", "post_ffw_norm.weight"},
     {"mlp.gate_proj.weight", "ffn_gate.weight"},
     {"mlp.up_proj.weight", "ffn_up.weight"},
     {"mlp.down_proj.weight", "ffn_down.weight"}}};

constexpr std::string_view kLayerPrefix = "model.layers.";

}  // namespace

std::uint64_t gguf_type_bytes(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean:
      return 1;
    case GgufType::u16:
    case GgufType::i16:
      return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32:
      return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64:
      return 8;
    case GgufType::text:
    case GgufType::array:
      break;
  }
  return 0;
}

std::optional<DataType> gguf_data_type(std::uint32_t number) {
  const TensorType* row = find_type(number);
  return row == nullptr ? std::nullopt : row->type;
}

std::string gguf_tensor_type_name(std::uint32_t number) {
  const TensorType* row = find_type(number);
  return row == nullptr ? fmt::format("type {}", number) : std::string(row->name);
}

std::string gguf_data_types() {
  std::string names;
  for (const TensorType& row : kTensorTypes) {
    if (!row.type) continue;
    if (!names.empty()) names += ", ";
    names += row.name;
  }
  return names;
}

std::string gguf_tensor_name(std::string_view name, bool post_norms) {
  for (const auto& [hugging_face, gguf] : kModelNames) {
    if (name == hugging_face) return std::string(gguf);
  }
  if (name.substr(0, kLayerPrefix.size()) != kLayerPrefix) return std::string(name);
  const std::string_view rest = name.substr(kLayerPrefix.size());
  const std::size_t dot = rest.find('.');
  if (dot == rest.npos) return std::string(name);
  const std::string_view layer = rest.substr(0, dot), suffix = rest.substr(dot + 1);
  if (post_norms && suffix == "post_attention_layernorm.weight") {
    return fmt::format("blk.{}.post_attention_norm.weight", layer);
  }
  for (const auto& [hugging_face, gguf] : kLayerNames) {
    if (suffix == hugging_face) return fmt::format("blk.{}.{}", layer, gguf);
  }
  return std::string(name);
}

}  // namespace toplens
