#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "kernels/matmul.h"
#include "model/model_config.h"
#include "parallel/thread_pool.h"

namespace toplens::bench {

/// The fastest that oneDNN multiplies a layer's matrices (inner_product, weights plain row-major)
/// on this machine now, whoever calls it: over the shapes, over 1024 and 2048 rows, on OpenMP's
/// threads and with each worker of the pool multiplying its own share of the rows.
class GemmCeiling {
 public:
  GemmCeiling(const ModelConfig& config, ComputeType type, ThreadPool& pool);
  ~GemmCeiling();

  /// Tries everything; sample() then repeats the best. Returns operations per second.
  double search();
  /// The best of a few repeats of what was found best.
  double sample();
  /// "1024 x 4096 x 11008, 2 OpenMP threads".
  std::string best() const;

 private:
  struct Candidate {
    std::size_t rows = 0, outputs = 0, inputs = 0;
    bool open_mp = true;
  };
  double measure(const Candidate& candidate, int repeats);

  ComputeType type_;
  ThreadPool& pool_;
  std::vector<Candidate> candidates_;
  Candidate best_;
  std::vector<std::byte> inputs_, weights_;
  std::vector<float> outputs_;
};

}  // namespace toplens::bench
