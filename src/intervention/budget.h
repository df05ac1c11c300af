#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "intervention/allocation.h"
#include "intervention/experiment.h"
#include "intervention/head_need.h"
#include "statistics/bootstrap.h"

namespace toplens {

/// What a budget is asked for.
struct BudgetRequest {
  Ranking ranking = Ranking::attention;
  RemovalRule rule = RemovalRule::remove;
  double tolerance = 0.05;  ///< of the relative loss increase, theory.md (31)
  std::vector<AllocationRule> allocations;
  std::vector<int> curve_sizes;  ///< N of the heads' loss curves, increasing
  std::uint64_t seed = 2027;
};

/// The loss of one way to keep tokens, where it was chosen and where it was not.
struct KeptTokens {
  std::vector<int> kept;          ///< [layer * query_heads + head]
  double calibration_change = 0;  ///< measured, on the windows it was chosen on
  double verified_change = 0;     ///< measured, on the verification windows
  std::optional<Interval> verified_interval;
};

/// A budget found by one rule, beside uniform ones.
struct AllocatedBudget {
  AllocationRule allocation = AllocationRule::uniform;
  KeptTokens budget;
  double predicted_change = 0;        ///< sum of the heads' own increases
  KeptTokens uniform_at_equal_total;  ///< exactly the budget's total: heads differ by one at most
  /// The smallest N for every head (theory.md (32)) that loses no more than the budget on the
  /// verification windows; none where the budget loses nothing there.
  std::optional<int> uniform_size_at_equal_verified_loss;
};

struct BudgetResult {
  HeadLossCurves curves;
  std::vector<HeadNeed> needs;
  KeptTokens uniform_at_equal_loss;  ///< N* for every head
  std::vector<AllocatedBudget> budgets;

  /// The one that keeps fewest tokens.
  const AllocatedBudget& smallest() const;
};

/// 1, 2, 4, ... below the context length.
std::vector<int> powers_below(int context_length);

/// A treatment that keeps kept[layer * query_heads + head] tokens.
Treatment budget_treatment(const ModelConfig& config, Ranking ranking, RemovalRule rule,
                           std::span<const int> kept, std::uint64_t seed);

/// Finds, for each allocation rule, the smallest total that is within the tolerance when the whole
/// budget is run on the calibration windows, and runs the results on the verification windows.
/// `experiment` is one of `calibration`'s and may hold earlier evaluations. All windows have the
/// same length. Throws Error for a tolerance <= 0 or curve sizes that are not increasing within 1
/// .. L-1.
BudgetResult find_budgets(const BudgetRequest& request, TreatedLoss& calibration,
                          Experiment& experiment, TreatedLoss& verification,
                          std::vector<HeadNeed> needs, WaveListener* listener = nullptr);

}  // namespace toplens
