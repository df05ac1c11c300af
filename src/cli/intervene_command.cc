#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toplens/error.h>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/intervene.h"
#include "cli/terminal.h"
#include "cli/wave_progress.h"
#include "intervention/loss_change.h"

namespace toplens {
namespace {

using Json = nlohmann::ordered_json;

Json interval_end(const std::optional<Interval>& interval, double Interval::*end) {
  return interval ? Json((*interval).*end) : Json(nullptr);
}

Json record_json(const InterventionRecord& record, const LossProtocol& protocol) {
  const double nll = mean_nll(record.document_nll);
  Json json;
  json["ranking"] = nullptr;
  json["rule"] = nullptr;
  json["scope"] = nullptr;
  json["set_size"] = nullptr;
  if (record.treatment) {
    json["ranking"] = name(record.treatment->intervention.ranking);
    json["rule"] = name(record.treatment->intervention.rule);
    json["scope"] = name(record.treatment->intervention.scope);
    json["set_size"] = record.treatment->set_size;
  }
  json["nll_nats_per_token"] = nll;
  json["perplexity"] = std::exp(nll);
  json["num_targets"] =
      record.document_nll.size() * protocol.targets_per_window(record.context_length);
  json["relative_change"] = record.relative_change;
  json["relative_change_low"] = interval_end(record.interval, &Interval::low);
  json["relative_change_high"] = interval_end(record.interval, &Interval::high);
  json["context_length"] = record.context_length;
  json["documents"] = record.document_nll.size();
  json["bos_added"] = protocol.has_bos;
  json["scored_targets_per_document"] = protocol.targets_per_window(record.context_length);
  json["rows_without_mass"] = record.rows_without_mass;
  return json;
}

Json needed_json(const NeededSizeRecord& record, const LossProtocol& protocol) {
  Json json;
  json["ranking"] = name(record.needed.intervention.ranking);
  json["rule"] = name(record.needed.intervention.rule);
  json["scope"] = name(record.needed.intervention.scope);
  json["tolerance"] = record.needed.tolerance;
  json["needed_size"] = record.needed.set_size;
  json["needed_size_low"] = interval_end(record.interval, &Interval::low);
  json["needed_size_high"] = interval_end(record.interval, &Interval::high);
  json["relative_change"] = record.relative_change;
  json["context_length"] = record.context_length;
  json["documents"] = protocol.windows;
  json["bos_added"] = protocol.has_bos;
  json["scored_targets_per_document"] = protocol.targets_per_window(record.context_length);
  json["evaluated_sizes"] = record.needed.visited;
  return json;
}

/// An array of records; with --tolerance an object of these and of the needed sizes.
Json to_json(const InterventionResults& results, bool with_needed_sizes) {
  Json records = Json::array(), needed = Json::array();
  for (const InterventionRecord& record : results.records) {
    records.push_back(record_json(record, results.protocol));
  }
  if (!with_needed_sizes) return records;
  for (const NeededSizeRecord& record : results.needed_sizes) {
    needed.push_back(needed_json(record, results.protocol));
  }
  return {{"needed_sizes", std::move(needed)}, {"evaluations", std::move(records)}};
}

std::string percent_interval(const std::optional<Interval>& interval) {
  if (!interval) return "one document";
  return fmt::format("{:+.2f} to {:+.2f} %", 100 * interval->low, 100 * interval->high);
}

std::string record_lines(const InterventionResults& results, int context_length) {
  std::string text = fmt::format("{:<13}{:<13}{:<10}{:>6}{:>11}{:>12}{:>10}  {}\n", "ranking",
                                 "rule", "scope", "N", "NLL", "perplexity", "change", "95%");
  for (const InterventionRecord& record : results.records) {
    if (record.context_length != context_length) continue;
    const double nll = mean_nll(record.document_nll);
    if (!record.treatment) {
      text += fmt::format("{:<36}{:>6}{:>11.5f}{:>12.4f}\n", "untreated", "", nll, std::exp(nll));
      continue;
    }
    const Intervention& intervention = record.treatment->intervention;
    text += fmt::format("{:<13}{:<13}{:<10}{:>6}{:>11.5f}{:>12.4f}{:>+8.2f} %  {}\n",
                        name(intervention.ranking), name(intervention.rule),
                        name(intervention.scope), record.treatment->set_size, nll, std::exp(nll),
                        100 * record.relative_change, percent_interval(record.interval));
  }
  return text;
}

std::string needed_lines(const InterventionResults& results, int context_length) {
  std::string text =
      fmt::format("{:<13}{:<13}{:<10}{:>10}{:>6}{:>10}  {:<14}{}\n", "ranking", "rule", "scope",
                  "tolerance", "N*", "change", "95% of N*", "evaluated sizes");
  for (const NeededSizeRecord& record : results.needed_sizes) {
    if (record.context_length != context_length) continue;
    const Intervention& intervention = record.needed.intervention;
    text += fmt::format(
        "{:<13}{:<13}{:<10}{:>8g} %{:>6}{:>+8.2f} %  {:<14}{}\n", name(intervention.ranking),
        name(intervention.rule), name(intervention.scope), 100 * record.needed.tolerance,
        record.needed.set_size, 100 * record.relative_change,
        record.interval ? fmt::format("{:g} to {:g}", record.interval->low, record.interval->high)
                        : "one document",
        fmt::join(record.needed.visited, " "));
  }
  return text;
}

/// Layers down, heads across: the change in percent; those whose interval excludes 0 are marked.
std::string scan_tables(const InterventionResults& results, int context_length) {
  std::string text;
  std::optional<std::tuple<Ranking, RemovalRule, int>> table;
  std::vector<const InterventionRecord*> records;
  for (const InterventionRecord& record : results.records) {
    if (record.context_length != context_length) continue;
    if (record.treatment) {
      records.push_back(&record);
    } else {
      text = fmt::format("untreated NLL {:.5f}", mean_nll(record.document_nll));
    }
  }
  const auto key = [](const InterventionRecord& record) {
    const SizedIntervention& treated = *record.treatment;
    return std::tuple(treated.intervention.ranking, treated.intervention.rule, treated.set_size);
  };
  std::stable_sort(records.begin(), records.end(),
                   [&](const auto* a, const auto* b) { return key(*a) < key(*b); });
  int layer = -1;
  for (const InterventionRecord* record : records) {
    const SizedIntervention& treated = *record->treatment;
    if (table != key(*record)) {
      table = key(*record);
      layer = -1;
      text += fmt::format("{}change of the NLL in percent, {} ranking, {}, N = {}\n  layer",
                          text.empty() ? "" : "\n\n", name(treated.intervention.ranking),
                          name(treated.intervention.rule), treated.set_size);
      for (int head = 0; results.scan == Scan::heads && head < results.num_query_heads; ++head) {
        text += fmt::format("{:>9}", fmt::format("head {}", head));
      }
      if (results.scan == Scan::layers) text += fmt::format("{:>9}  {}", "change", "95%");
    }
    const HeadId head = treated.intervention.scope.head;
    if (head.layer != layer) text += fmt::format("\n{:>7}", head.layer);
    layer = head.layer;
    const bool clear =
        record->interval && (record->interval->low > 0 || record->interval->high < 0);
    text += fmt::format("{:>+8.3f}{}", 100 * record->relative_change, clear ? '*' : ' ');
    if (results.scan == Scan::layers) text += "  " + percent_interval(record->interval);
  }
  return text +
         "\n\n* the 95% interval (bootstrap over documents) excludes 0; intervals are in "
         "interventions.csv (--out)\n";
}

std::string report(const InterveneOutcome& outcome) {
  const InterventionResults& results = outcome.results;
  std::string text;
  for (const int length : results.protocol.context_lengths) {
    text += fmt::format("{}protocol: {}, {} arithmetic\n\n", text.empty() ? "" : "\n",
                        describe(results.protocol, length), outcome.compute);
    if (!results.needed_sizes.empty()) text += needed_lines(results, length) + "\n";
    text +=
        results.scan == Scan::none ? record_lines(results, length) : scan_tables(results, length);
  }
  return text;
}

void run(const InterveneArguments& arguments, Channel& channel) {
  if (channel.rank() > 0) return assist_with_losses(arguments, channel);
  WaveProgress progress;
  LossRanks ranks(channel);
  const InterveneOutcome outcome = interruptible(
      arguments.out, [&] { return intervene(arguments, progress, print_note, ranks); });
  progress.finish();
  for (const InterventionRecord& record : outcome.results.records) {
    if (!record.treatment || record.rows_without_mass == 0) continue;
    print_note(fmt::format(
        "note: {} {} N = {}: {} attention rows keep no weight, their output is 0",
        name(record.treatment->intervention.ranking), name(record.treatment->intervention.rule),
        record.treatment->set_size, record.rows_without_mass));
  }
  if (arguments.json) {
    print_output(to_json(outcome.results, !arguments.tolerances.empty()).dump() + "\n");
    return;
  }
  print_output(report(outcome));
  if (!arguments.out.empty()) {
    print_output(fmt::format("\nResults: {0}/interventions.csv, {0}/interventions.nc (xarray){1}\n",
                             arguments.out,
                             outcome.results.needed_sizes.empty()
                                 ? ""
                                 : fmt::format(", {}/needed_sizes.csv", arguments.out)));
  }
}

}  // namespace

void add_intervene_command(CLI::App& app, Action& action,
                           const std::vector<std::string>& command_line,
                           const OpenChannel& open_channel) {
  const auto arguments = std::make_shared<InterveneArguments>();
  arguments->command_line = command_line;
  CLI::App& command = *app.add_subcommand(
      "intervene",
      "How many tokens are enough: the model's loss where attention keeps only the top N tokens");
  arguments->engine.add_to(command);
  arguments->text.add_to(command, true);
  add_list_option(command, "--ranking", arguments->rankings, kRankingHelp)->required();
  add_list_option(command, "--rule", arguments->rules, kRuleHelp)->required();
  add_list_option(command, "--scope", arguments->scopes, kScopeHelp)->capture_default_str();
  add_list_option(command, "--set-sizes", arguments->set_sizes,
                  "Numbers N of tokens kept, as in 4,16,64");
  add_list_option(
      command, "--tolerance", arguments->tolerances,
      "Instead of --set-sizes: find the smallest N whose relative loss increase is within these "
      "tolerances, as in 0.01,0.05,0.10");
  command
      .add_option("--scan", arguments->scan,
                  "layers or heads: treat every layer (head) alone, one after the other")
      ->type_name("WHAT");
  arguments->add_run_options_to(
      command,
      "Directory for interventions.csv, interventions.nc and, with --tolerance, "
      "needed_sizes.csv: new, or one without these files",
      "An array of records on stdout; with --tolerance an object with needed_sizes and "
      "evaluations");
  command.callback([&action, arguments, open_channel] {
    action = [arguments, open_channel] { run(*arguments, open_channel(arguments->mpi)); };
  });
}

}  // namespace toplens
