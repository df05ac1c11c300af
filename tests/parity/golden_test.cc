// The engine against an independent float64 implementation of six architectures.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/npy.h"
#include "support/engine_run.h"
#include "support/shared_data.h"
#include "tokenizer/tokenizer.h"

namespace toplens {
namespace {

using testing::EngineCut;
using testing::RecordingObserver;
using testing::run_engine;
using testing::TokenIds;

struct Deviation {
  double largest = 0;  ///< difference
  double largest_expected = 0;
  double rms = 0;  ///< of the differences, relative to the RMS of what is expected
  double relative() const { return largest / largest_expected; }
};

Deviation deviation(std::span<const float> found, std::span<const float> expected) {
  EXPECT_EQ(found.size(), expected.size());
  Deviation result;
  double squares = 0, expected_squares = 0;
  for (std::size_t i = 0; i < std::min(found.size(), expected.size()); ++i) {
    const double difference = std::fabs(double{found[i]} - expected[i]);
    // A comparison that NaN cannot pass.
    if (!(difference <= result.largest)) result.largest = difference;
    result.largest_expected = std::max(result.largest_expected, std::fabs(double{expected[i]}));
    squares += difference * difference;
    expected_squares += double{expected[i]} * expected[i];
  }
  result.rms = std::sqrt(squares / expected_squares);
  return result;
}

std::vector<float> logits(const CheckpointModel& model, const TokenIds& ids, ComputeType compute) {
  EngineDemand demand;
  demand.longest_lane = static_cast<int>(ids.size());
  demand.total_rows = ids.size();
  demand.threads = 2;
  const EnginePlan plan = make_engine_plan(model.config(), compute, demand, std::uint64_t{1} << 30);
  ThreadPool pool(2);
  const Lane lanes[] = {{ids}};
  const HiddenStates hidden = ForwardPass(model, pool, plan).run(lanes, {});
  const auto width = static_cast<std::size_t>(model.config().vocab_size);
  std::vector<float> all(ids.size() * width, std::nanf(""));
  OutputHead(model, pool, plan)
      .logits(hidden, 0, [&](std::size_t row, std::size_t first, std::span<const float> values) {
        std::copy(values.begin(), values.end(),
                  all.begin() + static_cast<std::ptrdiff_t>(row * width + first));
      });
  return all;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double expected_nll(const std::filesystem::path& directory) {
  std::ifstream in(directory / "expected" / "expected.json");
  return nlohmann::json::parse(in).at("nll_nats_per_token");
}

class Golden : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(Golden, F32EqualsTheReference) {
  const auto directory = GetParam();
  const auto expected = directory / "expected";
  const CheckpointModel model(directory);
  const TokenIds ids = testing::golden_tokens(directory);
  ASSERT_EQ(ids.size(), 96u);

  const NpyFloatArray expected_logits(expected / "logits.npy");
  const Deviation logit = deviation(logits(model, ids, ComputeType::f32), expected_logits.values());
  EXPECT_LT(logit.relative(), 5e-5);

  RecordingObserver observer(QuerySelection::all());
  const std::vector<AttentionObserver*> observers = {&observer};
  const std::vector<TokenIds> documents = {ids};
  const testing::EngineNumbers numbers =
      run_engine(model, documents, ComputeType::f32, EngineCut{2}, observers);
  const double nll = mean(numbers.nll[0]);
  EXPECT_NEAR(nll, expected_nll(directory), 1e-5);

  std::vector<float> attention, values, output;
  const ModelConfig& config = model.config();
  const int group = config.num_query_heads / config.num_kv_heads;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    for (int head = 0; head < config.num_query_heads; ++head) {
      const testing::SeenHead& seen = observer.head(layer, head, 0);
      attention.insert(attention.end(), seen.attention.begin(), seen.attention.end());
      output.insert(output.end(), seen.output.begin(), seen.output.end());
      if (head % group == 0) values.insert(values.end(), seen.values.begin(), seen.values.end());
    }
  }
  const NpyFloatArray expected_attention(expected / "attention.npy");
  const NpyFloatArray expected_values(expected / "values.npy");
  const NpyFloatArray expected_output(expected / "head_output.npy");
  const Deviation weights = deviation(attention, expected_attention.values());
  const Deviation value = deviation(values, expected_values.values());
  const Deviation head_output = deviation(output, expected_output.values());
  EXPECT_LT(weights.largest, 5e-5);
  EXPECT_LT(value.relative(), 5e-5);
  EXPECT_LT(head_output.relative(), 5e-5);
  std::printf("%s f32: logits %.1e, attention %.1e, values %.1e, head output %.1e, NLL %.1e\n",
              directory.filename().c_str(), logit.relative(), weights.largest, value.relative(),
              head_output.relative(), std::fabs(nll - expected_nll(directory)));
}

TEST_P(Golden, Bf16IsClose) {
  if (!has_fast_bf16()) {
    GTEST_SKIP() << "SKIPPED, oneDNN does not multiply bfloat16 on this machine";
  }
  const auto directory = GetParam();
  const CheckpointModel model(directory);
  const TokenIds ids = testing::golden_tokens(directory);
  const NpyFloatArray expected_logits(directory / "expected" / "logits.npy");
  const Deviation logit =
      deviation(logits(model, ids, ComputeType::bf16), expected_logits.values());
  EXPECT_LT(logit.rms, 0.05);
  EXPECT_GT(logit.relative(), 1e-5) << "this was not bf16";
  const std::vector<TokenIds> documents = {ids};
  const double nll = mean(run_engine(model, documents, ComputeType::bf16, EngineCut{2}).nll[0]);
  EXPECT_NEAR(nll, expected_nll(directory), 0.003 * expected_nll(directory));
  std::printf("%s bf16: logits %.2e RMS, NLL %.2e relative\n", directory.filename().c_str(),
              logit.rms, std::fabs(nll / expected_nll(directory) - 1));
}

INSTANTIATE_TEST_SUITE_P(Models, Golden, ::testing::ValuesIn(testing::golden_models()),
                         [](const auto& info) {
                           std::string name = info.param.filename().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(GoldenModels, AreAllSix) { EXPECT_EQ(testing::golden_models().size(), 6u); }

TEST(Stories, NllOfTheStoryIsThePublishedOne) {
  const auto directory = testing::shared_directory() / "data" / "models" / "stories260K";
  TOPLENS_NEED_SHARED(directory);
  const CheckpointTokenizer tokenizer = load_tokenizer(directory);
  TokenIds ids = tokenizer.tokenizer->encode(
      "Once upon a time, there was a little girl named Lily. She loved to play outside in the "
      "park. One day, she saw a big, red ball. She wanted to play with it, but it was too high.");
  ASSERT_TRUE(tokenizer.bos_id.has_value());
  ids.insert(ids.begin(), *tokenizer.bos_id);
  const std::vector<TokenIds> documents = {ids};
  const CheckpointModel model(directory);
  const std::vector<double> nll =
      run_engine(model, documents, ComputeType::f32, EngineCut{2}).nll[0];
  EXPECT_EQ(nll.size(), 61u);
  EXPECT_NEAR(mean(nll), 0.386, 0.0005);
}

}  // namespace
}  // namespace toplens
