#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/budget.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "cli/wave_progress.h"
#include "parallel/memory.h"

namespace toplens {
namespace {

using Json = nlohmann::ordered_json;

std::string interval_text(const std::optional<Interval>& interval) {
  if (!interval) return "(one document)";
  return fmt::format("({:+.2f} to {:+.2f})", 100 * interval->low, 100 * interval->high);
}

std::string line(const std::string& what, const KeptTokens& tokens, const std::string& predicted) {
  const std::int64_t total = total_kept(tokens.kept);
  return fmt::format("{:<36}{:>9}{:>10.2f}{:>11}{:>+12.2f}{:>+10.2f}  {}\n", what, total,
                     static_cast<double>(total) / static_cast<double>(tokens.kept.size()),
                     predicted, 100 * tokens.calibration_change, 100 * tokens.verified_change,
                     interval_text(tokens.verified_interval));
}

/// "N = 3", or "N = 3, 4" where the total does not divide.
std::string sizes(const KeptTokens& uniform) {
  const auto [least, most] = std::minmax_element(uniform.kept.begin(), uniform.kept.end());
  return *least == *most ? fmt::format("N = {}", *least) : fmt::format("N = {}, {}", *least, *most);
}

std::string report(const BudgetOutcome& outcome) {
  const BudgetRecord& record = outcome.record;
  const BudgetResult& result = outcome.result;
  std::string text = fmt::format(
      "budgets for a relative NLL increase of at most {:g} %, {} ranking, {}\n"
      "protocol: {}; verified on {} {}\n\n",
      100 * record.request.tolerance, name(record.request.ranking), name(record.request.rule),
      record.protocol, record.verification_documents,
      record.separate_verification ? "other documents" : "documents, the same ones");
  text += fmt::format("{:<36}{:>9}{:>10}{:>11}{:>12}{:>10}  {}\n", "kept tokens", "total",
                      "per head", "predicted", "calibrated", "verified", "95%, all in percent");
  text += line(fmt::format("uniform N* = {}", result.uniform_at_equal_loss.kept.front()),
               result.uniform_at_equal_loss, "");
  for (const AllocatedBudget& budget : result.budgets) {
    text += line(std::string(name(budget.allocation)), budget.budget,
                 fmt::format("{:+.2f}", 100 * budget.predicted_change));
    text += line("  uniform at equal total, " + sizes(budget.uniform_at_equal_total),
                 budget.uniform_at_equal_total, "");
    if (const std::optional<int> size = budget.uniform_size_at_equal_verified_loss) {
      const auto total = *size * static_cast<std::int64_t>(budget.budget.kept.size());
      text += fmt::format("{:<36}{:>9}{:>10.2f}\n", "  uniform at equal verified loss", total,
                          static_cast<double>(*size));
    }
  }
  const AllocatedBudget& smallest = result.smallest();
  const std::vector<int> kv = kv_kept(outcome.config, smallest.budget.kept, record.aggregation);
  const std::vector<int> everything(kv.size(), record.cache_context);
  const auto bytes = [&](const std::vector<int>& kept) {
    return format_bytes(
        kv_cache_bytes(outcome.config, kept, record.cache_context, record.cache_type));
  };
  text += fmt::format(
      "\nThe smallest is {}: {:.1f} % of the tokens of uniform N*. Its KV heads ({} over their "
      "query heads) keep {} of the {} that the cache of {} tokens takes in {}.\n",
      name(smallest.allocation),
      100.0 * static_cast<double>(total_kept(smallest.budget.kept)) /
          static_cast<double>(total_kept(result.uniform_at_equal_loss.kept)),
      name(record.aggregation), bytes(kv), bytes(everything), record.cache_context,
      name(record.cache_type));
  return text;
}

void run_verify(const BudgetArguments& arguments, LossRanks& ranks) {
  WaveProgress progress;
  const VerifyOutcome outcome = verify_budget(arguments, progress, print_note, ranks);
  progress.finish();
  if (arguments.json) {
    Json records = Json::array();
    for (const VerifiedBudget& budget : outcome.budgets) {
      const auto& interval = budget.interval;
      records.push_back({{"allocation", name(budget.stored.allocation)},
                         {"total_kept_tokens", total_kept(budget.stored.kept)},
                         {"predicted_change", budget.stored.predicted_change},
                         {"stored_verified_change", budget.stored.verified_change},
                         {"verified_change", budget.change},
                         {"verified_change_low", interval ? Json(interval->low) : Json(nullptr)},
                         {"verified_change_high", interval ? Json(interval->high) : Json(nullptr)},
                         {"tolerance", outcome.file.tolerance},
                         {"protocol", outcome.protocol}});
    }
    return print_output(records.dump() + "\n");
  }
  std::string text =
      fmt::format("protocol: {}\n\n{:<14}{:>8}{:>12}{:>10}  {}\n", outcome.protocol, "allocation",
                  "total", "predicted", "verified", "95%, all in percent");
  for (const VerifiedBudget& budget : outcome.budgets) {
    text += fmt::format("{:<14}{:>8}{:>+12.2f}{:>+10.2f}  {}\n", name(budget.stored.allocation),
                        total_kept(budget.stored.kept), 100 * budget.stored.predicted_change,
                        100 * budget.change, interval_text(budget.interval));
  }
  print_output(text);
}

void run(const BudgetArguments& arguments, Channel& channel) {
  if (channel.rank() > 0) return assist_with_losses(arguments, channel);
  LossRanks ranks(channel);
  if (!arguments.verify.empty()) return run_verify(arguments, ranks);
  WaveProgress progress;
  const BudgetOutcome outcome = interruptible(
      arguments.out, [&] { return find_budget(arguments, progress, print_note, ranks); });
  progress.finish();
  if (arguments.json) {
    return print_output(budget_json(outcome.record, outcome.config, outcome.result).dump() + "\n");
  }
  print_output(report(outcome));
  if (arguments.out.empty()) return;
  print_output(
      fmt::format("\nResults: {0}/budget.json, {0}/interventions.csv (the measured curves)\n{1}",
                  arguments.out, outcome.exported));
}

}  // namespace

void add_budget_command(CLI::App& app, Action& action, const std::vector<std::string>& command_line,
                        const OpenChannel& open_channel) {
  const auto arguments = std::make_shared<BudgetArguments>();
  arguments->command_line = command_line;
  CLI::App& command = *app.add_subcommand(
      "budget",
      "Kept tokens for every head: the fewest within a tolerance of the loss, found by measured "
      "losses and verified");
  arguments->engine.add_to(command);
  arguments->text.add_to(command, false);
  std::vector<CLI::Option*> of_a_search;  // what --verify has no use for
  const auto searching = [&](CLI::Option* option) {
    of_a_search.push_back(option);
    return option;
  };
  searching(command.add_option("--verify-documents", arguments->verify_documents,
                               "Further documents, on which the budgets are verified (default: as "
                               "many as --documents)"))
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("D");
  searching(command.add_option("--ranking", arguments->ranking, kRankingHelp));
  searching(command.add_option("--rule", arguments->rule, kRuleHelp));
  searching(
      command.add_option("--tolerance", arguments->tolerance,
                         "Relative loss increase that the whole budget may cost, as in 0.05"));
  searching(
      add_list_option(command, "--allocations", arguments->allocations,
                      "Rules that share out the tokens: uniform, geometric (selectivity and F), "
                      "sensitivity (the heads' measured loss curves)"))
      ->capture_default_str();
  searching(add_list_option(command, "--set-sizes", arguments->set_sizes,
                            "N at which each head's loss curve is measured (default: powers of two "
                            "below the context); fewer are faster"));
  searching(
      command.add_option(
          "--scan-from", arguments->scan_from,
          "Take the heads' losses from this directory of 'intervene --scan heads' or 'budget' "
          "with the same model, text and protocol; what it lacks is measured"))
      ->type_name("DIR");
  searching(command.add_option("--kv-aggregation", arguments->aggregation,
                               "Tokens of a KV head from those of its query heads: max, mean, min"))
      ->capture_default_str();
  searching(command.add_option("--cache-context", arguments->cache_context,
                               "Tokens of the KV cache whose bytes are given (default: the context "
                               "length)"))
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("T");
  searching(command.add_option("--cache-dtype", arguments->cache_dtype, "Its type: bf16, f16, f32"))
      ->capture_default_str();
  arguments->exports.add_to(command);
  arguments->add_run_options_to(
      command,
      "Directory for budget.json, the measured curves (interventions.csv, .nc) and the files of "
      "--export",
      "budget.json on stdout");
  for (const char* option : {"--export", "--out", "--resume"}) {
    of_a_search.push_back(command.get_option(option));
  }
  CLI::Option* verify =
      command
          .add_option("--verify", arguments->verify,
                      "Find nothing: run the budgets of this budget.json on the text, with the "
                      "ranking and rule that stand there")
          ->type_name("FILE");
  for (CLI::Option* option : of_a_search) verify->excludes(option);
  command.callback([&action, arguments, open_channel] {
    action = [arguments, open_channel] { run(*arguments, open_channel(arguments->mpi)); };
  });
}

}  // namespace toplens
