// The same model in GGUF and in safetensors: the same numbers.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "support/engine_run.h"
#include "support/gguf_writer.h"
#include "support/safetensors_file.h"
#include "support/safetensors_writer.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"
#include "tokenizer/tokenizer.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using testing::EngineNumbers;
using testing::ScratchDirectory;
using testing::TokenIds;

EngineNumbers numbers_of(const fs::path& model, const TokenIds& ids, ComputeType compute) {
  const std::vector<TokenIds> documents = {ids};
  return testing::run_engine(CheckpointModel(model), documents, compute, {2});
}

/// Hidden states of the last layer and the NLL of every token, bit for bit.
void expect_same_bits(const fs::path& a, const fs::path& b, const TokenIds& ids) {
  for (const ComputeType compute : {ComputeType::f32, ComputeType::bf16}) {
    if (compute == ComputeType::bf16 && !has_fast_bf16()) continue;
    SCOPED_TRACE(name(compute));
    const EngineNumbers x = numbers_of(a, ids, compute), y = numbers_of(b, ids, compute);
    EXPECT_TRUE(x.hidden == y.hidden);
    EXPECT_EQ(x.nll, y.nll);
  }
}

double mean_nll(const fs::path& model, const TokenIds& ids) {
  const EngineNumbers numbers = numbers_of(model, ids, ComputeType::f32);
  double sum = 0;
  for (const double nll : numbers.nll[0]) sum += nll;
  return sum / static_cast<double>(numbers.nll[0].size());
}

// Permuted query and key rows, Gemma's norms, biases, tied embeddings, sliding windows.
TEST(Gguf, Float32FilesGiveTheSameBitsAsSafetensors) {
  const ScratchDirectory scratch;
  for (const std::string name : {"tiny-llama", "tiny-mistral", "tiny-qwen2", "tiny-gemma"}) {
    SCOPED_TRACE(name);
    const fs::path model = testing::golden_directory() / name, file = scratch / (name + ".gguf");
    testing::write_gguf(model, file);
    expect_same_bits(model, file, testing::golden_tokens(model));
  }
}

// GGUF has no place for the golden checkpoint's query_pre_attn_scalar; llama.cpp takes head_dim.
TEST(Gguf, Gemma2GivesTheSameBitsWhereItsQueryScaleIsTheUsual) {
  const ScratchDirectory scratch;
  const fs::path golden = testing::golden_directory() / "tiny-gemma2", model = scratch / "model";
  testing::copy_checkpoint(golden, model);
  auto config = nlohmann::json::parse(read_text_file(model / "config.json"));
  config["query_pre_attn_scalar"] = config["head_dim"];
  testing::write_bytes(model / "config.json", config.dump());
  testing::write_gguf(model, scratch / "m.gguf");
  expect_same_bits(model, scratch / "m.gguf", testing::golden_tokens(golden));
}

// Llama-3's scaling is stored as float32 divisors of the frequencies, so not the same bits.
TEST(Gguf, Llama3ScalingComesFromATensor) {
  const ScratchDirectory scratch;
  const fs::path model = testing::golden_directory() / "tiny-llama3-gqa", file = scratch / "m.gguf";
  testing::write_gguf(model, file);
  const CheckpointModel from_gguf(file);
  EXPECT_EQ(from_gguf.config().rope.type, kRopeOfDivisors);
  EXPECT_EQ(from_gguf.config().rope.divisors.size(), 8u);
  const TokenIds ids = testing::golden_tokens(model);
  const double expected = mean_nll(model, ids), found = mean_nll(file, ids);
  EXPECT_NEAR(found, expected, 2e-6);
  std::printf("llama3 divisors: NLL differs by %.1e\n", std::fabs(found - expected));
}

class GgufTypes : public ::testing::TestWithParam<const char*> {};

/// Quantised golden checkpoints against the float64 dequantisation of the script, rounded once and
/// stored as F32.
TEST_P(GgufTypes, EqualsTheDequantizedCheckpointBitForBit) {
  const ScratchDirectory scratch;
  for (const std::string name : {"tiny-mistral", "tiny-qwen2", "tiny-llama3-gqa", "tiny-gemma"}) {
    SCOPED_TRACE(name);
    const fs::path model = testing::golden_directory() / name;
    const fs::path file = scratch / (name + ".gguf"), exact = scratch / name;
    testing::write_gguf(model, file, {"--type", GetParam(), "--dequantized", exact});
    const TokenIds ids = testing::golden_tokens(model);
    if (name != "tiny-llama3-gqa") expect_same_bits(exact, file, ids);
    const double plain = mean_nll(model, ids), quantized = mean_nll(file, ids);
    EXPECT_NEAR(quantized, plain, 0.1 * plain);
    std::printf("%s %s: NLL %.5f, unquantised %.5f\n", name.c_str(), GetParam(), quantized, plain);
  }
}

/// A trained model, wide enough for the types of 256 elements; its down projection is not, and
/// falls back to types of 32, so types are mixed.
TEST_P(GgufTypes, TheTrainedModelKeepsItsLoss) {
  const ScratchDirectory scratch;
  const fs::path model = testing::source_directory() / "demo/model", exact = scratch / "exact";
  const fs::path file = scratch / "m.gguf";
  testing::write_gguf(
      model, file,
      {"--type", GetParam(), "--dequantized", exact, "--tokenizer", model / "tokenizer.model"});
  const CheckpointTokenizer tokenizer = load_tokenizer(file);
  TokenIds ids = tokenizer.tokenizer->encode(
      read_text_file(testing::source_directory() / "demo/text/held_out.txt").substr(0, 1600));
  ids.insert(ids.begin(), tokenizer.bos_id.value());
  ids.resize(400);
  expect_same_bits(exact, file, ids);
  const double plain = mean_nll(model, ids), quantized = mean_nll(file, ids);
  EXPECT_NEAR(quantized, plain, 0.02 * plain);
  std::printf("demo model %s: NLL %.5f, unquantised %.5f\n", GetParam(), quantized, plain);
}

INSTANTIATE_TEST_SUITE_P(Types, GgufTypes,
                         ::testing::Values("F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1",
                                           "Q4_K", "Q5_K", "Q6_K", "Q4_K_M"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Gguf, MemoryPlanKnowsThatPermutedRowsAreConverted) {
  const ScratchDirectory scratch;
  for (const auto& [name, converted] : {std::pair("tiny-llama", true), {"tiny-qwen2", false}}) {
    const fs::path model = testing::golden_directory() / name;
    testing::write_gguf(model, scratch / "m.gguf");
    EXPECT_FALSE(CheckpointModel(model).needs_conversion(DataType::f32)) << name;
    EXPECT_EQ(CheckpointModel(scratch / "m.gguf").needs_conversion(DataType::f32), converted);
  }
  testing::write_gguf(testing::golden_directory() / "tiny-qwen2", scratch / "m.gguf",
                      {"--type", "Q8_0"});
  EXPECT_TRUE(CheckpointModel(scratch / "m.gguf").needs_conversion(DataType::f32));
}

}  // namespace
}  // namespace toplens
