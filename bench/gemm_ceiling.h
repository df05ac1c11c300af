#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/matmul.h"
#include "model/model_config.h"
#include "parallel/thread_pool.h"

namespace toplens::bench {

/// The fastest that oneDNN multiplies a layer's matrices (inner_product, weights plain row-major)
/// on this machine now, whoever calls it: over the shapes, whole or a slice of the outputs, over
/// 1024 and 2048 rows, on OpenMP's threads and with each worker of the pool multiplying its own
/// share of the rows.
class GemmCeiling {
 public:
  GemmCeiling(const ModelConfig& config, ComputeType type, ThreadPool& pool);
  ~GemmCeiling();

  /// Tries everything, `rounds` times over, and keeps the three with the highest median rates.
  void search(int rounds);
  /// Forgets what run_for() measured.
  void restart();
  /// Repeats the three for about so many seconds in all.
  void run_for(double seconds);
  /// The highest of the three's mean rates over all run_for() since restart(), operations per
  /// second: as long work beside it has a mean rate.
  double rate() const;
  /// Memory of its matrices.
  std::uint64_t bytes() const {
    return inputs_.size() + weights_.size() + outputs_.size() * sizeof(float);
  }
  /// Of the highest of rate(): "1024 x 4096 x 11008, 2 OpenMP threads".
  std::string best() const;

 private:
  struct Candidate {
    std::size_t rows = 0, outputs = 0, inputs = 0;
    bool open_mp = true;
    double done = 0, seconds = 0;  ///< operations since restart(), and their time
    double rate() const { return seconds > 0 ? done / seconds : 0; }
  };
  const Candidate& fastest() const;
  /// One after the other, the time of each; stops after `repeats` or when `enough` seconds are
  /// over.
  std::vector<double> seconds_of_each(const Candidate& candidate, int repeats, double enough);
  double operations(const Candidate& candidate) const;

  ComputeType type_;
  ThreadPool& pool_;
  std::vector<Candidate> candidates_;
  std::vector<std::byte> inputs_, weights_;
  std::vector<float> outputs_;
};

}  // namespace toplens::bench
