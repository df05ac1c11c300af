#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/intervention_options.h"
#include "cli/loss_ranks.h"
#include "cli/loss_text.h"
#include "intervention/treated_loss.h"
#include "results/intervention_results.h"

namespace toplens {

/// The command line of `intervene`, parsed.
struct InterveneArguments : LossRunArguments {
  std::vector<std::string> rankings, rules;
  std::vector<std::string> scopes = {"model"};
  std::string scan;
  std::vector<int> set_sizes;
  std::vector<double> tolerances;
};

struct InterveneOutcome {
  InterventionResults results;
  std::string compute;  ///< "f32" or "bf16"
  std::uint64_t layer_lane_forwards = 0;
};

/// Losses of a text under interventions, for each context length, computed by all ranks; written to
/// --out where it is given. Throws UsageError before anything is computed where the arguments do
/// not fit the model.
InterveneOutcome intervene(const InterveneArguments& arguments, WaveListener& listener,
                           const std::function<void(const std::string&)>& note, LossRanks& ranks);

}  // namespace toplens
