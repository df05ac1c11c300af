#include "bench/gemm_ceiling.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <dnnl.hpp>

#include "bench/report.h"
#include "bench/stopwatch.h"
#include "checkpoint/random_weights.h"
#include "model/engine_plan.h"

// libgomp's, as in parallel/thread_pool.cc.
extern "C" void omp_set_num_threads(int);

namespace toplens::bench {
namespace {

constexpr std::array<std::size_t, 2> kRows = {1024, 2048};
/// The ceiling is the best of so many: one look at each does not say which is.
constexpr std::size_t kKept = 3;

/// One inner_product of the calling thread, with as many OpenMP threads as that has now.
class Product {
 public:
  Product(ComputeType type, std::size_t rows, std::size_t outputs, std::size_t inputs,
          const std::byte* input, const std::byte* weights, float* out) {
    using Memory = dnnl::memory;
    const auto in = type == ComputeType::f32 ? Memory::data_type::f32 : Memory::data_type::bf16;
    const auto plain = Memory::format_tag::ab;
    const auto dim = [](std::size_t n) { return static_cast<Memory::dim>(n); };
    const Memory::desc source({dim(rows), dim(inputs)}, in, plain);
    const Memory::desc weight({dim(outputs), dim(inputs)}, in, plain);
    const Memory::desc destination({dim(rows), dim(outputs)}, Memory::data_type::f32, plain);
    primitive_ = dnnl::inner_product_forward(dnnl::inner_product_forward::primitive_desc(
        {dnnl::prop_kind::forward_inference, source, weight, destination}, engine_));
    arguments_ = {{DNNL_ARG_SRC, Memory(source, engine_, const_cast<std::byte*>(input))},
                  {DNNL_ARG_WEIGHTS, Memory(weight, engine_, const_cast<std::byte*>(weights))},
                  {DNNL_ARG_DST, Memory(destination, engine_, out)}};
  }
  void run() {
    primitive_.execute(stream_, arguments_);
    stream_.wait();
  }

 private:
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::inner_product_forward primitive_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

/// Random normal elements in the compute type.
std::vector<std::byte> random_matrix(ComputeType type, std::size_t elements, double deviation) {
  const DataType stored = type == ComputeType::f32 ? DataType::f32 : DataType::bf16;
  std::vector<std::byte> bytes(elements * bytes_per_element(stored));
  RandomWeights(stored, 0, deviation).fill(elements, 0, bytes);
  return bytes;
}

}  // namespace

GemmCeiling::GemmCeiling(const ModelConfig& config, ComputeType type, ThreadPool& pool)
    : type_(type), pool_(pool) {
  const auto size = [](int n) { return static_cast<std::size_t>(n); };
  const std::size_t hidden = size(config.hidden_size), inner = size(config.intermediate_size);
  const std::size_t query = size(config.num_query_heads * config.head_dim);
  std::size_t most_inputs = 0, most_weights = 0, most_outputs = 0;
  for (const auto& [outputs, inputs] : {std::pair(query, hidden), std::pair(hidden, query),
                                        std::pair(inner, hidden), std::pair(hidden, inner)}) {
    for (const std::size_t rows : kRows) {
      // A worker of the pool multiplies as many rows as OpenMP's threads do together.
      const auto workers = static_cast<std::size_t>(pool.size());
      candidates_.push_back({rows, outputs, inputs, true, 0, 0});
      candidates_.push_back({rows, outputs, inputs, false, 0, 0});
      // A slice of the outputs at a time, as the engine cuts them.
      candidates_.push_back({rows, std::min(outputs, kMaxSliceOutputs), inputs, false, 0, 0});
      most_inputs = std::max(most_inputs, workers * rows * inputs);
      most_weights = std::max(most_weights, outputs * inputs);
      most_outputs = std::max(most_outputs, workers * rows * outputs);
    }
  }
  inputs_ = random_matrix(type, most_inputs, 1.0);
  weights_ = random_matrix(type, most_weights, 0.02);
  outputs_.resize(most_outputs);
}

GemmCeiling::~GemmCeiling() { omp_set_num_threads(1); }

double GemmCeiling::operations(const Candidate& c) const {
  const std::size_t parts = c.open_mp ? 1 : static_cast<std::size_t>(pool_.size());
  return 2.0 * static_cast<double>(parts * c.rows * c.outputs * c.inputs);
}

std::vector<double> GemmCeiling::seconds_of_each(const Candidate& c, int repeats, double enough) {
  const std::size_t element = type_ == ComputeType::f32 ? 4 : 2;
  const std::size_t parts = c.open_mp ? 1 : static_cast<std::size_t>(pool_.size());
  std::vector<std::unique_ptr<Product>> products(parts);
  const auto product = [&](std::size_t part) {
    return std::make_unique<Product>(type_, c.rows, c.outputs, c.inputs,
                                     inputs_.data() + part * c.rows * c.inputs * element,
                                     weights_.data(), outputs_.data() + part * c.rows * c.outputs);
  };
  if (c.open_mp) {
    omp_set_num_threads(pool_.size());
    products[0] = product(0);
  } else {
    omp_set_num_threads(1);
    for (std::size_t part = 0; part < parts; ++part) products[part] = product(part);
  }
  std::vector<double> seconds;
  double sum = 0;
  for (int repeat = 0; repeat < repeats && sum < enough; ++repeat) {
    seconds.push_back(seconds_of([&] {
      if (c.open_mp) {
        products[0]->run();
      } else {
        pool_.parallel_for(parts, [&](std::size_t part, int) { products[part]->run(); });
      }
    }));
    sum += seconds.back();
  }
  omp_set_num_threads(1);
  return seconds;
}

void GemmCeiling::search(int rounds) {
  std::vector<std::vector<double>> rates(candidates_.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t c = 0; c < candidates_.size(); ++c) {
      // The first warms up.
      const std::vector<double> seconds = seconds_of_each(candidates_[c], 2, 1e9);
      rates[c].push_back(operations(candidates_[c]) / seconds.back());
    }
  }
  std::vector<std::pair<double, std::size_t>> order;
  for (std::size_t c = 0; c < rates.size(); ++c) order.emplace_back(-median(rates[c]), c);
  std::sort(order.begin(), order.end());
  std::vector<Candidate> kept;
  for (std::size_t k = 0; k < kKept; ++k) kept.push_back(candidates_[order[k].second]);
  candidates_ = kept;
}

void GemmCeiling::restart() {
  for (Candidate& candidate : candidates_) candidate.done = candidate.seconds = 0;
}

void GemmCeiling::run_for(double seconds) {
  for (Candidate& candidate : candidates_) {
    const double part = seconds / static_cast<double>(candidates_.size());
    for (const double each : seconds_of_each(candidate, 1 << 20, part)) {
      candidate.done += operations(candidate);
      candidate.seconds += each;
    }
  }
}

const GemmCeiling::Candidate& GemmCeiling::fastest() const {
  return *std::max_element(candidates_.begin(), candidates_.end(),
                           [](const auto& a, const auto& b) { return a.rate() < b.rate(); });
}

double GemmCeiling::rate() const { return fastest().rate(); }

std::string GemmCeiling::best() const {
  const Candidate& best = fastest();
  return fmt::format("{} x {} x {}, {} {}", best.rows, best.inputs, best.outputs, pool_.size(),
                     best.open_mp ? "OpenMP threads" : "workers with a block of rows each");
}

}  // namespace toplens::bench
