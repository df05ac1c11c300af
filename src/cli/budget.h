#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/export_options.h"
#include "cli/intervention_options.h"
#include "cli/loss_ranks.h"
#include "intervention/treated_loss.h"
#include "results/budget_file.h"

namespace toplens {

/// The command line of `budget`, parsed.
struct BudgetArguments : LossRunArguments {
  int verify_documents = 0;  ///< 0: as many as --documents
  std::string ranking, rule;
  std::optional<double> tolerance;
  std::vector<std::string> allocations = {"uniform", "geometric", "sensitivity"};
  std::vector<int> set_sizes;  ///< of the loss curves; none: powers of two
  std::string scan_from, verify;
  std::string aggregation = "max";
  int cache_context = 0;  ///< 0: the context length
  std::string cache_dtype = "bf16";
  ExportArguments exports;
};

struct BudgetOutcome {
  BudgetRecord record;
  ModelConfig config;
  BudgetResult result;
  std::string exported;  ///< a line for each format
};

/// Finds, verifies and, with --out, writes budgets; all ranks measure losses.
BudgetOutcome find_budget(const BudgetArguments& arguments, WaveListener& listener,
                          const std::function<void(const std::string&)>& note, LossRanks& ranks);

/// A stored budget, run on a text.
struct VerifiedBudget {
  StoredBudget stored;
  double change = 0;
  std::optional<Interval> interval;
};
struct VerifyOutcome {
  StoredBudgets file;
  std::vector<VerifiedBudget> budgets;
  std::string protocol;
};
VerifyOutcome verify_budget(const BudgetArguments& arguments, WaveListener& listener,
                            const std::function<void(const std::string&)>& note, LossRanks& ranks);

}  // namespace toplens
