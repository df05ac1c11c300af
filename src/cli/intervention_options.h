#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <toplens/error.h>

#include "cli/loss_text.h"
#include "cli/usage_error.h"
#include "results/intervention_files.h"

namespace toplens {

inline constexpr const char* kRankingHelp =
    "What keeps a token: attention, contribution (weight times value norm), random, positional "
    "(token 0 and the most recent)";
inline constexpr const char* kRuleHelp =
    "What happens to the others' weights: delete (they become 0), renormalize (and the kept ones "
    "are divided by their sum)";
inline constexpr const char* kScopeHelp = "Where: model, layer:L, head:L.H, counted from 0";

/// A list with commas, in one argument.
template <typename Values>
CLI::Option* add_list_option(CLI::App& command, const std::string& option, Values& values,
                             const std::string& help) {
  return command.add_option(option, values, help)
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST");
}

/// What the texts name. Throws UsageError where one is not known or given twice.
template <typename Kind, typename Parse>
std::vector<Kind> parse_list(std::span<const std::string> texts, const Parse& parse) {
  return from_command_line([&] {
    std::vector<Kind> kinds;
    for (const std::string& text : texts) {
      const Kind kind = parse(text);
      if (std::find(kinds.begin(), kinds.end(), kind) != kinds.end()) {
        throw Error(fmt::format("'{}' is given twice", text));
      }
      kinds.push_back(kind);
    }
    return kinds;
  });
}

/// --set-sizes. Throws UsageError for one below 1 or given twice.
void check_set_sizes(std::span<const int> set_sizes);
/// --tolerance. Throws UsageError for one that is not above 0, not finite or given twice.
void check_tolerances(std::span<const double> tolerances);

/// Runs `action`, whose evaluations go to `files` in the directory `out` where there are any. Where
/// it fails, nothing stays of a run that evaluated nothing, and else the message says how to go on.
template <typename Action>
void keeping_what_is_evaluated(std::optional<InterventionFiles>& files, const std::string& out,
                               const Action& action) {
  try {
    action();
  } catch (const Error& failure) {
    if (!files) throw;
    if (!files->keeps_evaluations()) {
      files->discard_unstarted();
      throw;
    }
    const std::string message = fmt::format(
        "{}; what was evaluated is kept in {}: once the cause is gone, go on with the same command "
        "and --resume",
        failure.what(), out);
    if (dynamic_cast<const UsageError*>(&failure) != nullptr) throw UsageError(message);
    throw Error(message);
  }
}

/// Seed that must not be negative.
void add_seed_option(CLI::App& command, std::uint64_t& seed);

/// What every command that measures losses under interventions takes.
struct LossRunArguments {
  EngineArguments engine;
  LossTextArguments text;
  std::uint64_t seed = 2027;
  int lanes = 64;
  std::string out;
  bool resume = false;
  bool json = false;
  bool mpi = false;
  std::vector<std::string> command_line;

  /// --seed --lanes --out --resume --json --mpi.
  void add_run_options_to(CLI::App& command, const std::string& out_help,
                          const std::string& json_help);
};

}  // namespace toplens
