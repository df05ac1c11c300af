#include "cli/budget.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <toplens/error.h>

#include "cli/usage_error.h"
#include "intervention/loss_change.h"
#include "io/atomic_file.h"
#include "io/temporary_file.h"
#include "results/digest.h"
#include "results/intervention_files.h"
#include "results/run_directory.h"
#include "results/run_manifest.h"

namespace toplens {
namespace {

constexpr const char* kBudgetJson = "budget.json";

constexpr std::array<NamedKind<DataType>, 3> kCacheTypes = {{
    {DataType::bf16, "bf16"},
    {DataType::f16, "f16"},
    {DataType::f32, "f32"},
}};

/// Windows that are not among the chosen ones, spread evenly.
std::vector<TokenWindow> other_windows(const LossText& text, std::size_t count) {
  std::vector<TokenWindow> others;
  for (TokenWindow& window : cut_windows(text.loaded.documents, text.loaded.context_length,
                                         text.loaded.bos_id, BosPolicy::window, false)) {
    const bool chosen =
        std::any_of(text.windows.begin(), text.windows.end(), [&](const TokenWindow& other) {
          return other.document == window.document && other.first_token == window.first_token;
        });
    if (!chosen) others.push_back(std::move(window));
  }
  return sample_windows(std::move(others), count);
}

BudgetRequest parse_request(const BudgetArguments& arguments) {
  if (arguments.ranking.empty() || arguments.rule.empty() || !arguments.tolerance) {
    throw UsageError(
        "--ranking, --rule and --tolerance are required where a budget is to be found");
  }
  check_tolerances({&*arguments.tolerance, 1});
  check_set_sizes(arguments.set_sizes);
  return from_command_line([&] {
    BudgetRequest request;
    request.ranking = parse_ranking(arguments.ranking);
    request.rule = parse_removal_rule(arguments.rule);
    request.tolerance = *arguments.tolerance;
    request.seed = arguments.seed;
    for (const std::string& text : arguments.allocations) {
      const AllocationRule rule = parse_allocation(text);
      if (std::count(request.allocations.begin(), request.allocations.end(), rule) > 0) {
        throw Error(fmt::format("allocation rule '{}' is given twice", text));
      }
      request.allocations.push_back(rule);
    }
    request.curve_sizes = arguments.set_sizes;
    std::sort(request.curve_sizes.begin(), request.curve_sizes.end());
    return request;
  });
}

/// The sizes that an earlier scan evaluated for every head.
std::vector<int> scanned_sizes(const Experiment& experiment, const BudgetRequest& request,
                               const ModelConfig& config) {
  const auto sizes_of = [&](int layer, int head) {
    return experiment.evaluated_sizes(
        {request.ranking, request.rule, Scope::one_head({layer, head})});
  };
  std::vector<int> common = sizes_of(0, 0);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    for (int head = 0; head < config.num_query_heads; ++head) {
      std::vector<int> both;
      const std::vector<int> sizes = sizes_of(layer, head);
      std::set_intersection(common.begin(), common.end(), sizes.begin(), sizes.end(),
                            std::back_inserter(both));
      common = std::move(both);
    }
  }
  return common;
}

/// What the calibration evaluated so far, for the files.
InterventionResults scan_results(const LossText& text, const ModelConfig& config,
                                 const Experiment& experiment, const BudgetRequest& request) {
  InterventionResults results;
  results.protocol = text.protocol;
  results.documents = text.labels;
  std::vector<Scope> scopes = {Scope::model()};
  for (int layer = 0; layer < config.num_layers; ++layer) {
    for (int head = 0; head < config.num_query_heads; ++head) {
      scopes.push_back(Scope::one_head({layer, head}));
    }
  }
  const Ranking rankings[] = {request.ranking};
  const RemovalRule rules[] = {request.rule};
  append_results(experiment, combine(rankings, rules, scopes), {}, text.loaded.context_length,
                 request.seed, results);
  return results;
}

}  // namespace

BudgetOutcome find_budget(const BudgetArguments& arguments, WaveListener& listener,
                          const std::function<void(const std::string&)>& note, LossRanks& ranks) {
  BudgetOutcome outcome;
  BudgetRecord& record = outcome.record;
  record.request = parse_request(arguments);
  record.aggregation =
      from_command_line([&] { return parse_head_aggregation(arguments.aggregation); });
  record.cache_type = from_command_line(
      [&] { return parse_name(kCacheTypes, "cache dtype", arguments.cache_dtype); });
  arguments.exports.parse();
  if (arguments.out.empty() && !arguments.exports.formats.empty()) {
    throw UsageError("--export writes into the directory of --out, which is not given");
  }
  if (arguments.out.empty() && arguments.resume) {
    throw UsageError("--resume needs the --out of the run to go on with");
  }
  ModelSession session = arguments.engine.open();
  outcome.config = session.config();
  const LossText text = load_loss_text(arguments.text, session.model(), note);
  const int length = text.loaded.context_length;
  record.context_length = length;
  record.cache_context = arguments.cache_context > 0 ? arguments.cache_context : length;
  record.protocol = describe(text.protocol, length);
  record.calibration_documents = text.windows.size();
  record.settings = loss_settings(session, text, arguments.seed);

  const auto wanted = static_cast<std::size_t>(
      arguments.verify_documents > 0 ? arguments.verify_documents : arguments.text.documents);
  std::vector<TokenWindow> others = other_windows(text, wanted);
  record.separate_verification = !others.empty();
  if (others.empty()) {
    note("note: the text has no further windows: the budget is verified on those it is chosen on");
    others = text.windows;
  }
  record.verification_documents = others.size();
  LossProtocol verification_protocol = text.protocol;
  verification_protocol.windows = others.size();

  ranks.meet(session);
  const std::vector<ScoredWindow> windows = scored_windows(text.windows, text.protocol, length);
  TreatedLoss calibration(session, windows, arguments.lanes, ranks.sharing());
  TreatedLoss verification(session, scored_windows(others, verification_protocol, length),
                           arguments.lanes, ranks.sharing());
  Experiment experiment(calibration, arguments.seed);
  std::optional<InterventionFiles> files;
  if (!arguments.out.empty()) {
    files.emplace(arguments.out, record.settings, arguments.command_line, arguments.resume);
    files->restore(length, experiment);
    remove_abandoned(std::filesystem::path(arguments.out) / kBudgetJson);
  }
  keeping_what_is_evaluated(files, arguments.out, [&] {
    if (!arguments.scan_from.empty()) {
      restore_evaluations(arguments.scan_from, record.settings, length, experiment);
      if (record.request.curve_sizes.empty()) {
        record.request.curve_sizes = scanned_sizes(experiment, record.request, outcome.config);
      }
      if (record.request.curve_sizes.empty()) {
        throw Error(fmt::format("{}: holds no scan of all heads with {} ranking and {}",
                                arguments.scan_from, name(record.request.ranking),
                                name(record.request.rule)));
      }
    }
    if (record.request.curve_sizes.empty()) record.request.curve_sizes = powers_below(length);
    if (files) {
      experiment.set_on_evaluated(
          [&] { files->save(scan_results(text, outcome.config, experiment, record.request)); });
    }
    outcome.result = ranks.guard([&] {
      return find_budgets(record.request, calibration, experiment, verification,
                          measure_head_needs(session, windows), &listener);
    });
    ranks.dismiss();
  });
  if (!files) return outcome;
  const std::filesystem::path directory = arguments.out;
  write_file_atomically(directory / kBudgetJson,
                        budget_json(record, outcome.config, outcome.result).dump(1) + "\n");
  RunDirectory::record_later_results(directory, {kBudgetJson});
  files->finish(scan_results(text, outcome.config, experiment, record.request));
  HeadBudget smallest;
  smallest.model = {outcome.config.num_layers, outcome.config.num_query_heads,
                    outcome.config.num_kv_heads};
  smallest.context_length = length;
  smallest.kept_tokens = outcome.result.smallest().budget.kept;
  outcome.exported = arguments.exports.write(smallest, directory, record.aggregation);
  return outcome;
}

VerifyOutcome verify_budget(const BudgetArguments& arguments, WaveListener& listener,
                            const std::function<void(const std::string&)>& note, LossRanks& ranks) {
  ModelSession session = arguments.engine.open();
  VerifyOutcome outcome;
  const CheckpointDigests digests =
      digest_checkpoint(session.model().directory(), session.model().tensors().files(), {});
  outcome.file = read_budgets(arguments.verify, session.config(), digests_json(digests));
  const LossText text = load_loss_text(arguments.text, session.model(), note);
  const int length = text.loaded.context_length;
  outcome.protocol = describe(text.protocol, length);
  if (length != outcome.file.context_length) {
    note(fmt::format("note: the budget was found at a context of {} tokens, this one is {}",
                     outcome.file.context_length, length));
  }
  ranks.meet(session);
  TreatedLoss loss(session, scored_windows(text.windows, text.protocol, length), arguments.lanes,
                   ranks.sharing());
  std::vector<Treatment> treatments;
  for (const StoredBudget& budget : outcome.file.budgets) {
    treatments.push_back(budget_treatment(session.config(), outcome.file.ranking, outcome.file.rule,
                                          budget.kept, arguments.seed));
  }
  std::vector<const Treatment*> wave = {nullptr};
  for (const Treatment& treatment : treatments) wave.push_back(&treatment);
  std::vector<std::vector<double>> nll;
  for (const auto& losses : ranks.guard([&] { return loss.measure(wave, &listener); })) {
    nll.emplace_back();
    for (const WindowLoss& window : losses) nll.back().push_back(window.nll_nats_per_token);
  }
  ranks.dismiss();
  const LossBootstrap bootstrap(text.windows.size(), arguments.seed);
  for (std::size_t i = 0; i < treatments.size(); ++i) {
    VerifiedBudget verified;
    verified.stored = outcome.file.budgets[i];
    verified.change = relative_change(nll[i + 1], nll[0]);
    verified.interval = bootstrap.change_interval(nll[i + 1], nll[0]);
    outcome.budgets.push_back(std::move(verified));
  }
  return outcome;
}

}  // namespace toplens
