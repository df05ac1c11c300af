#include "measures/planted_checkpoint.h"

#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "support/safetensors_writer.h"

namespace toplens::testing {
namespace {

// The residual stream, by dimension: who the token is, who the one before it is, a constant, BOS.
constexpr std::size_t kCode = 0, kPrevious = 64, kConstant = 128, kFlag = 129, kHidden = 132;
constexpr double kConstantSize = 32.0, kFlagSize = 8.0;

// Rotary pairs (i, i + kHalf) of a head: nine fast ones know positions; the slow ones carry codes
// and the BOS flag. One in four decades, so that the content pairs hardly turn within a document.
constexpr std::size_t kHeadDim = 160, kHalf = 80;
constexpr double kTheta = 1e20;
constexpr std::size_t kCodePairs = 15, kPreviousPairs = 47, kFlagPair = 79;
// sum_m kGain[m] cos(delta 10^(-m/4)) is 1 at delta = 0 and at most 0.72 for 1 <= |delta| < 512.
constexpr std::array<double, 9> kGain = {0.5973, 0.0696, 0.0730, 0.0356, 0.0734,
                                         0.0417, 0.0146, 0.0172, 0.0773};

class Matrix {
 public:
  Matrix(std::size_t rows, std::size_t columns)
      : columns_(columns), tensor_{{rows, columns}, std::vector<float>(rows * columns, 0.0f)} {}
  float& operator()(std::size_t row, std::size_t column) {
    return tensor_.values[row * columns_ + column];
  }
  TestTensor tensor() const { return tensor_; }

 private:
  std::size_t columns_;
  TestTensor tensor_;
};

/// Row i of a Hadamard matrix: codes of different tokens are orthogonal.
float code(std::size_t token, std::size_t dimension) {
  return std::popcount(token & dimension) % 2 == 0 ? 1.0f : -1.0f;
}

std::size_t row_of(std::size_t head, std::size_t pair, std::size_t side) {
  return head * kHeadDim + pair + side * kHalf;
}

/// Every key carries everything, so that any kind of query can read any kv head.
void write_keys(Matrix& keys, std::size_t kv_head) {
  for (std::size_t m = 0; m < kGain.size(); ++m) {
    keys(row_of(kv_head, m, 0), kConstant) = static_cast<float>(1.0 / kConstantSize);
    keys(row_of(kv_head, m, 0), kFlag) = static_cast<float>(-1.0 / kFlagSize);  // BOS has no place
  }
  for (std::size_t n = 0; n < 64; ++n) {
    keys(row_of(kv_head, kCodePairs + n / 2, n % 2), kCode + n) = 1.0f;
    keys(row_of(kv_head, kPreviousPairs + n / 2, n % 2), kPrevious + n) = 1.0f;
  }
  keys(row_of(kv_head, kFlagPair, 0), kFlag) = static_cast<float>(1.0 / kFlagSize);
}

void write_queries(Matrix& queries, std::size_t head, PlantedKind kind) {
  const double scale = std::sqrt(static_cast<double>(kHeadDim));  // undoes the logits' divisor
  const auto positions = [&](double strength, double offset) {
    for (std::size_t m = 0; m < kGain.size(); ++m) {
      const double angle = -offset * std::pow(10.0, -0.25 * static_cast<double>(m));
      const double size = scale * strength * kGain[m] / kConstantSize;
      queries(row_of(head, m, 0), kConstant) = static_cast<float>(size * std::cos(angle));
      queries(row_of(head, m, 1), kConstant) = static_cast<float>(size * std::sin(angle));
    }
  };
  const auto content = [&](std::size_t pairs, double strength) {
    for (std::size_t n = 0; n < 64; ++n) {
      queries(row_of(head, pairs + n / 2, n % 2), kCode + n) =
          static_cast<float>(scale * strength / 64.0);
    }
  };
  const auto bos = [&](double strength) {
    queries(row_of(head, kFlagPair, 0), kConstant) =
        static_cast<float>(scale * strength / kConstantSize);
  };
  switch (kind) {
    case PlantedKind::retriever:
      // An earlier occurrence scores 104 minus at most 0.72 * 42, the token itself 104 - 42; BOS
      // lies between.
      content(kCodePairs, 104.0);
      positions(-42.0, 0.0);
      bos(68.0);
      break;
    case PlantedKind::mixer:
      break;
    case PlantedKind::reset:
      bos(14.0);
      break;
    case PlantedKind::previous:
      positions(36.0, 1.0);
      break;
    case PlantedKind::induction:
      content(kPreviousPairs, 32.0);
      bos(20.0);
      break;
  }
}

}  // namespace

void write_planted(const std::filesystem::path& directory,
                   const std::array<std::vector<PlantedKind>, 2>& kinds, int kv_heads) {
  constexpr std::size_t kInner = 8;
  const std::size_t heads = kinds[0].size(), groups = static_cast<std::size_t>(kv_heads);
  const nlohmann::json config = {{"architectures", {"LlamaForCausalLM"}},
                                 {"model_type", "llama"},
                                 {"hidden_size", kHidden},
                                 {"intermediate_size", kInner},
                                 {"num_hidden_layers", 2},
                                 {"num_attention_heads", heads},
                                 {"num_key_value_heads", groups},
                                 {"head_dim", kHeadDim},
                                 {"vocab_size", kPlantedTokens + 1},
                                 {"bos_token_id", kPlantedBos},
                                 {"max_position_embeddings", 512},
                                 {"rms_norm_eps", 1e-5},
                                 {"rope_theta", kTheta},
                                 {"hidden_act", "silu"},
                                 {"tie_word_embeddings", true}};
  TestTensors tensors;
  Matrix embedding(kPlantedTokens + 1, kHidden);
  for (std::size_t token = 0; token < kPlantedTokens; ++token) {
    for (std::size_t n = 0; n < 64; ++n) embedding(token, kCode + n) = code(token, n);
    embedding(token, kConstant) = static_cast<float>(kConstantSize);
  }
  embedding(kPlantedBos, kConstant) = static_cast<float>(kConstantSize);
  embedding(kPlantedBos, kFlag) = static_cast<float>(kFlagSize);
  tensors["model.embed_tokens.weight"] = embedding.tensor();
  // RMSNorm divides by the root mean square; its weight puts that back.
  const auto norm = [](double square) {
    return TestTensor{{kHidden},
                      std::vector<float>(kHidden, static_cast<float>(std::sqrt(square / kHidden)))};
  };
  const double embedded = kConstantSize * kConstantSize + 64.0;
  tensors["model.norm.weight"] = norm(embedded + 64.0);
  for (std::size_t layer = 0; layer < 2; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    Matrix query(heads * kHeadDim, kHidden), key(groups * kHeadDim, kHidden);
    Matrix value(groups * kHeadDim, kHidden), output(kHidden, heads * kHeadDim);
    for (std::size_t group = 0; group < groups; ++group) {
      write_keys(key, group);
      // A token's value is its code; that of BOS is tiny.
      for (std::size_t n = 0; n < 64; ++n) value(group * kHeadDim + n, kCode + n) = 1.0f;
      value(group * kHeadDim, kFlag) = 0.01f;
    }
    bool written = layer > 0;
    for (std::size_t head = 0; head < heads; ++head) {
      write_queries(query, head, kinds[layer][head]);
      if (written || kinds[layer][head] != PlantedKind::previous) continue;
      for (std::size_t n = 0; n < 64; ++n) output(kPrevious + n, head * kHeadDim + n) = 1.0f;
      written = true;
    }
    const double square = embedded + (layer > 0 ? 64.0 : 0.0);
    tensors[prefix + "input_layernorm.weight"] = norm(square);
    tensors[prefix + "post_attention_layernorm.weight"] = norm(square);
    tensors[prefix + "self_attn.q_proj.weight"] = query.tensor();
    tensors[prefix + "self_attn.k_proj.weight"] = key.tensor();
    tensors[prefix + "self_attn.v_proj.weight"] = value.tensor();
    tensors[prefix + "self_attn.o_proj.weight"] = output.tensor();
    tensors[prefix + "mlp.gate_proj.weight"] = Matrix(kInner, kHidden).tensor();
    tensors[prefix + "mlp.up_proj.weight"] = Matrix(kInner, kHidden).tensor();
    tensors[prefix + "mlp.down_proj.weight"] = Matrix(kHidden, kInner).tensor();
  }
  write_checkpoint(directory, config, tensors, DataType::f32);
}

}  // namespace toplens::testing
