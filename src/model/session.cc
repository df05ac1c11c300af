#include "model/session.h"

#include <algorithm>
#include <chrono>

namespace toplens {

ModelSession::ModelSession(const std::filesystem::path& checkpoint, int threads,
                           std::uint64_t memory_bytes, ComputeMode compute)
    : model_(checkpoint),
      pool_(threads > 0 ? threads : available_threads()),
      memory_bytes_(memory_bytes),
      compute_(resolve_compute(compute, model_.weight_type())) {}

EnginePlan ModelSession::plan(std::span<const std::size_t> lane_lengths,
                              EngineDemand demand) const {
  for (const std::size_t length : lane_lengths) {
    demand.longest_lane = std::max(demand.longest_lane, static_cast<int>(length));
    demand.total_rows += length;
  }
  demand.threads = pool_.size();
  const DataType wanted = compute_ == ComputeType::f32 ? DataType::f32 : DataType::bf16;
  demand.converts_weights = model_.needs_conversion(wanted);
  return make_engine_plan(config(), compute_, demand, memory_bytes_);
}

double ModelSession::product_rate(const EnginePlan& plan) {
  const LayerWeights weights = model_.layer(0);
  const std::size_t outputs = std::min(weights.gate.rows, kMaxSliceOutputs);
  const std::size_t inputs = weights.gate.columns;
  InputMatrix input(plan.compute, plan.block_rows);
  input.resize(plan.block_rows, inputs);
  const auto workers = static_cast<std::size_t>(pool_.size());
  std::vector<BlockMultiplier> multipliers;
  std::vector<std::vector<float>> products(workers, std::vector<float>(plan.block_rows * outputs));
  for (std::size_t worker = 0; worker < workers; ++worker) multipliers.emplace_back(plan.compute);
  double best_seconds = 0;
  for (int repeat = 0; repeat < 3; ++repeat) {  // the first one touches the memory
    const auto start = std::chrono::steady_clock::now();
    pool_.parallel_for(workers, [&](std::size_t, int worker) {
      const auto w = static_cast<std::size_t>(worker);
      multipliers[w].multiply(input.block(0), plan.block_rows, weights.gate, 0, outputs,
                              products[w].data());
    });
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (repeat == 0 || elapsed.count() < best_seconds) best_seconds = elapsed.count();
  }
  return 2.0 * static_cast<double>(plan.block_rows * outputs * inputs * workers) / best_seconds;
}

int kept_queries(QuerySelection queries, int length) {
  const int block = static_cast<int>(kQueryBlock);
  return length - queries.first_query(length) / block * block;
}

int kept_queries(std::span<AttentionObserver* const> observers, int length) {
  int kept = 0;
  for (const AttentionObserver* observer : observers) {
    kept = std::max(kept, kept_queries(observer->queries(), length));
  }
  return kept;
}

}  // namespace toplens
