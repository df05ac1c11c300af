#include "cli/intervene.h"

#include <optional>

#include <fmt/format.h>
#include <toplens/error.h>

#include "cli/usage_error.h"
#include "results/intervention_files.h"

namespace toplens {
namespace {

std::vector<Scope> scopes_of(const InterveneArguments& arguments, Scan scan,
                             const ModelConfig& config) {
  std::vector<Scope> scopes;
  for (int layer = 0; scan == Scan::layers && layer < config.num_layers; ++layer) {
    scopes.push_back(Scope::layer(layer));
  }
  for (int layer = 0; scan == Scan::heads && layer < config.num_layers; ++layer) {
    for (int head = 0; head < config.num_query_heads; ++head) {
      scopes.push_back(Scope::one_head({layer, head}));
    }
  }
  if (scan != Scan::none) return scopes;
  scopes = parse_list<Scope>(arguments.scopes, parse_scope);
  from_command_line([&] {
    for (const Scope& scope : scopes) check(scope, config);
  });
  return scopes;
}

void check_arguments(const InterveneArguments& arguments, Scan scan) {
  if (arguments.out.empty() && arguments.resume) {
    throw UsageError("--resume needs the --out of the run to go on with");
  }
  if (arguments.set_sizes.empty() == arguments.tolerances.empty()) {
    throw UsageError(arguments.set_sizes.empty()
                         ? "none of --set-sizes and --tolerance is given; give exactly one"
                         : "--set-sizes and --tolerance are both given; give exactly one");
  }
  check_set_sizes(arguments.set_sizes);
  check_tolerances(arguments.tolerances);
  if (scan != Scan::none && !arguments.tolerances.empty()) {
    throw UsageError("--scan takes --set-sizes, not --tolerance");
  }
  if (scan != Scan::none && arguments.scopes != std::vector<std::string>{"model"}) {
    throw UsageError("--scan and --scope are both given: a scan treats one scope after the other");
  }
}

}  // namespace

InterveneOutcome intervene(const InterveneArguments& arguments, WaveListener& listener,
                           const std::function<void(const std::string&)>& note, LossRanks& ranks) {
  const Scan scan = arguments.scan.empty() ? Scan::none : from_command_line([&] {
    return parse_name(kScanNames, "scan", arguments.scan);
  });
  check_arguments(arguments, scan);
  const auto rankings = parse_list<Ranking>(arguments.rankings, parse_ranking);
  const auto rules = parse_list<RemovalRule>(arguments.rules, parse_removal_rule);
  ModelSession session = arguments.engine.open();
  const std::vector<Intervention> interventions =
      combine(rankings, rules, scopes_of(arguments, scan, session.config()));
  const LossText text = load_loss_text(arguments.text, session.model(), note);
  ranks.meet(session);
  std::optional<InterventionFiles> files;
  if (!arguments.out.empty()) {
    files.emplace(arguments.out, loss_settings(session, text, arguments.seed),
                  arguments.command_line, arguments.resume);
  }

  InterveneOutcome outcome;
  outcome.compute = name(session.compute());
  InterventionResults& results = outcome.results;
  results.protocol = text.protocol;
  results.documents = text.labels;
  results.scan = scan;
  results.num_layers = session.config().num_layers;
  results.num_query_heads = session.config().num_query_heads;
  std::vector<SizedIntervention> wanted;
  for (const Intervention& intervention : interventions) {
    for (const int size : arguments.set_sizes) wanted.push_back({intervention, size});
  }
  const auto measure = [&](int length) {
    TreatedLoss loss(session, scored_windows(text.windows, text.protocol, length), arguments.lanes,
                     ranks.sharing());
    Experiment experiment(loss, arguments.seed);
    if (files) {
      files->restore(length, experiment);
      experiment.set_on_evaluated([&] {
        InterventionResults so_far = results;
        append_results(experiment, interventions, {}, length, arguments.seed, so_far);
        files->save(so_far);
      });
    }
    std::vector<NeededSize> needed;
    if (wanted.empty()) {
      needed = experiment.find_needed_sizes(interventions, arguments.tolerances, &listener);
    } else {
      experiment.evaluate(wanted, &listener);
    }
    append_results(experiment, interventions, needed, length, arguments.seed, results);
    outcome.layer_lane_forwards += loss.layer_lane_forwards();
  };
  keeping_what_is_evaluated(files, arguments.out, [&] {
    ranks.guard([&] {
      for (const int length : text.protocol.context_lengths) measure(length);
    });
    ranks.dismiss();
  });
  if (files) files->finish(results);
  return outcome;
}

}  // namespace toplens
