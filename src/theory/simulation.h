#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "parallel/thread_pool.h"
#include "selection/ranking.h"
#include "theory/generative_model.h"
#include "theory/head_theory.h"
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

/// Draws documents of heads of (36), measures them and evaluates the theory on them; an object for
/// one worker.
class HeadSimulator {
 public:
  explicit HeadSimulator(SimulationOptions options);
  ~HeadSimulator();
  HeadSimulator(HeadSimulator&&) noexcept;

  /// One result for each of `told`, what the theory is told of the same documents; sigma and beta
  /// are measured on them by (11).
  std::vector<HeadTheory> simulate(const GenerativeHead& head, std::uint64_t head_number,
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
  std::vector<GenerativeParameters> parameters;  ///< of each head
  std::vector<HeadTheory> unaware;  ///< the theory is told the parameters before the violation
  std::vector<HeadTheory> aware;    ///< it is told what a perfect fit would find
};

/// Without a violation both are the same and `aware` is left empty.
Population simulate_population(const PopulationOptions& population,
                               const SimulationOptions& options, ThreadPool& pool);

}  // namespace toplens
