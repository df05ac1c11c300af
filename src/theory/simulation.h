#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "parallel/thread_pool.h"
#include "selection/ranking.h"
#include "theory/conditional_bound.h"
#include "theory/coverage.h"
#include "theory/generative_model.h"
#include "theory/operating_regime.h"
#include "theory/predictive_model.h"

namespace toplens {

struct SimulationOptions {
  int documents = 32;                                               ///< of each head
  std::vector<int> set_sizes = {1, 2, 4, 8, 16, 32, 64, 128, 256};  ///< increasing
  Ranking ranking = Ranking::attention;                             ///< or contribution
  EnvelopeOptions envelope;                                         ///< its seed is everything's
};

/// Throws Error naming what cannot be simulated.
void check(const SimulationOptions& options);

/// Measurement and theory at one set size, over the documents of one head.
struct SimulatedSize {
  int set_size = 0;
  MeasuredMean precision, recall, f_score;
  MeasuredMean chernoff_precision, chernoff_recall;  ///< (15), (16), over the documents
  Separation gaussian;
  Separation distribution_free;
  Envelope envelope;
  Residuals residuals;
};

struct SimulatedHead {
  GenerativeParameters parameters;
  HeadAssumptions assumptions;       ///< what the theory was told, with the residuals of (11)
  std::vector<SimulatedSize> sizes;  ///< those below the length
  std::optional<int> critical_size;  ///< median over documents, none: above the largest size
  std::optional<int> predicted_half, measured_half;
};

/// Draws documents of heads of (36), measures them and evaluates the theory on them; an object for
/// one worker.
class HeadSimulator {
 public:
  explicit HeadSimulator(SimulationOptions options);
  ~HeadSimulator();
  HeadSimulator(HeadSimulator&&) noexcept;

  /// One result for each of `told`, what the theory is told of the same documents; sigma and beta
  /// are measured on them by (11).
  std::vector<SimulatedHead> simulate(const GenerativeHead& head, std::uint64_t head_number,
                                      std::span<const HeadAssumptions> told);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A population of heads.
struct PopulationOptions {
  int heads = 100;
  GenerativeParameters kept;
  std::vector<std::string_view> fixed;  ///< names of parameters that do not vary between heads
  ViolationAmount violation;
};

struct Population {
  std::vector<SimulatedHead> unaware;  ///< the theory is told the parameters before the violation
  std::vector<SimulatedHead> aware;    ///< it is told what a perfect fit would find
};

/// Without a violation both are the same and `aware` is left empty.
Population simulate_population(const PopulationOptions& population,
                               const SimulationOptions& options, ThreadPool& pool);

enum class Metric { precision, recall, f_score };

/// Prediction beside measurement for sizes of at least 2 (N = 1 is known without a theory).
std::vector<CoverageCell> coverage_cells(std::span<const SimulatedHead> heads, Metric metric,
                                         std::optional<int> set_size = std::nullopt);

}  // namespace toplens
