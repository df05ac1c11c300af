#include "model/engine_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "parallel/memory.h"
#include "support/error_message.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

ModelConfig config() { return read_model_config(testing::golden_directory() / "tiny-llama3-gqa"); }

EngineDemand demand(int lanes, int length) {
  EngineDemand demand;
  demand.longest_lane = length;
  demand.total_rows = static_cast<std::uint64_t>(lanes) * static_cast<std::uint64_t>(length);
  demand.kept_queries = 128;
  demand.lanes_wanted = lanes;
  demand.threads = 2;
  return demand;
}

TEST(EnginePlan, SmallestBudgetIsWhatTheErrorSays) {
  // The least budget, by bisection.
  std::uint64_t fails = 0, works = std::uint64_t{1} << 40;
  const EngineDemand wanted = demand(8, 512);
  while (works - fails > 1) {
    const std::uint64_t middle = fails + (works - fails) / 2;
    try {
      (void)make_engine_plan(config(), ComputeType::f32, wanted, middle);
      works = middle;
    } catch (const Error&) {
      fails = middle;
    }
  }
  const EnginePlan plan = make_engine_plan(config(), ComputeType::f32, wanted, works);
  EXPECT_EQ(plan.bytes, works);
  EXPECT_EQ(plan.lanes_per_batch, 1);
  const std::string message = testing::error_message(
      [&] { (void)make_engine_plan(config(), ComputeType::f32, wanted, fails); });
  EXPECT_THAT(message, ::testing::HasSubstr("needs " + format_bytes(works)));
  EXPECT_THAT(message, ::testing::HasSubstr("budget of " + format_bytes(fails)));
  EXPECT_THAT(message, ::testing::HasSubstr("512 tokens"));
  EXPECT_THAT(message, ::testing::HasSubstr("--memory"));
}

TEST(EnginePlan, MoreMemoryMeansLargerBatchesWithinIt) {
  int lanes = 0;
  bool batched = false;
  for (std::uint64_t memory = std::uint64_t{1} << 20; memory <= std::uint64_t{1} << 32;
       memory += memory / 8) {
    try {
      const EnginePlan plan = make_engine_plan(config(), ComputeType::f32, demand(64, 512), memory);
      EXPECT_LE(plan.bytes, memory);
      EXPECT_GE(plan.lanes_per_batch, lanes);
      EXPECT_GE(plan.group_rows, 512u);
      EXPECT_LE(plan.group_rows, 512u * static_cast<unsigned>(plan.lanes_per_batch));
      lanes = plan.lanes_per_batch;
      batched = batched || (lanes > 1 && lanes < 64);
    } catch (const Error&) {
      EXPECT_EQ(lanes, 0) << "a larger budget fails where a smaller one did not";
    }
  }
  EXPECT_EQ(lanes, 64);
  EXPECT_TRUE(batched);
}

TEST(EnginePlan, BlockRowsFollowFromTheRunAlone) {
  for (const auto& [lanes, length, rows] :
       {std::tuple<int, int, std::size_t>{1, 1, 64}, {1, 96, 128}, {2, 96, 192}, {8, 512, 1024}}) {
    for (const std::uint64_t memory : {std::uint64_t{48} << 20, std::uint64_t{1} << 33}) {
      EngineDemand wanted = demand(lanes, length);
      for (const int threads : {1, 2, 4}) {
        for (const int lanes_wanted : {1, lanes}) {
          wanted.threads = threads;
          wanted.lanes_wanted = lanes_wanted;
          EXPECT_EQ(make_engine_plan(config(), ComputeType::f32, wanted, memory).block_rows, rows);
        }
      }
    }
  }
}

TEST(EnginePlan, ComputeModes) {
  EXPECT_EQ(resolve_compute(parse_compute_mode("f32"), DataType::bf16), ComputeType::f32);
  EXPECT_EQ(resolve_compute(parse_compute_mode("bf16"), DataType::f32), ComputeType::bf16);
  EXPECT_EQ(resolve_compute(parse_compute_mode("auto"), DataType::f32), ComputeType::f32);
  const ComputeType fast = has_fast_bf16() ? ComputeType::bf16 : ComputeType::f32;
  EXPECT_EQ(resolve_compute(parse_compute_mode("auto"), DataType::bf16), fast);
  EXPECT_EQ(resolve_compute(parse_compute_mode("auto"), DataType::f16), fast);
  EXPECT_EQ(resolve_compute(parse_compute_mode("auto"), DataType::q4_k), fast);
  EXPECT_THAT(testing::error_message([] { parse_compute_mode("fp16"); }),
              ::testing::HasSubstr("'fp16'; expected auto, f32 or bf16"));
}

}  // namespace
}  // namespace toplens
