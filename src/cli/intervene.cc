#include "cli/intervene.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <toplens/error.h>

#include "cli/usage_error.h"
#include "results/digest.h"
#include "results/intervention_files.h"
#include "results/run_manifest.h"

namespace toplens {
namespace {

template <typename Kind, typename Parse>
std::vector<Kind> parse_list(const std::vector<std::string>& texts, const Parse& parse) {
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
  if (arguments.set_sizes.empty() == arguments.tolerances.empty()) {
    throw UsageError(arguments.set_sizes.empty()
                         ? "none of --set-sizes and --tolerance is given; give exactly one"
                         : "--set-sizes and --tolerance are both given; give exactly one");
  }
  for (const int size : arguments.set_sizes) {
    if (size < 1) {
      throw UsageError(fmt::format("--set-sizes: {} tokens: at least one must be kept", size));
    }
  }
  for (const double tolerance : arguments.tolerances) {
    if (!(tolerance > 0)) {
      throw UsageError(fmt::format("--tolerance: {} must be above 0", tolerance));
    }
  }
  if (scan != Scan::none && !arguments.tolerances.empty()) {
    throw UsageError("--scan takes --set-sizes, not --tolerance");
  }
  if (scan != Scan::none && arguments.scopes != std::vector<std::string>{"model"}) {
    throw UsageError("--scan and --scope are both given: a scan treats one scope after the other");
  }
}

}  // namespace

void add_seed_option(CLI::App& command, std::uint64_t& seed, const std::string& help) {
  command.add_option("--seed", seed, help)
      ->check([](const std::string& text) {
        // Would be taken modulo 2^64.
        return text.rfind('-', 0) == 0 ? "'" + text + "' is below 0" : std::string();
      })
      ->capture_default_str();
}

void LossTextArguments::add_to(CLI::App& command, bool matched) {
  text.add_to(command);
  command
      .add_option("--documents", documents,
                  "Documents (full windows of the text, spread evenly over it)")
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("D")
      ->capture_default_str();
  command
      .add_option("--score-tail", score_tail,
                  "Score the last K tokens of each window alone (default: all but the first; 128 "
                  "with --context-lengths)")
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("K");
  if (!matched) return;
  command
      .add_option(
          "--context-lengths", context_lengths,
          "Matched targets: several context lengths, as in 256,512,1024, that score the same "
          "final tokens (--score-tail)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST");
}

LossText load_loss_text(const LossTextArguments& arguments, const CheckpointModel& model,
                        const std::function<void(const std::string&)>& note) {
  LossText text;
  LossProtocol& protocol = text.protocol;
  TextArguments source = arguments.text;
  std::vector<int> lengths = arguments.context_lengths;
  const bool matched = !lengths.empty();
  if (matched && source.context_length != 0) {
    throw UsageError("--context-length and --context-lengths are both given; give one");
  }
  std::sort(lengths.begin(), lengths.end());
  if (matched && source.tokens.empty()) {
    if (lengths.front() < 2) {
      throw UsageError(fmt::format("--context-lengths: {} is below 2", lengths.front()));
    }
    source.context_length = lengths.back();
  }
  text.loaded = source.load(model);
  if (!matched) lengths = {text.loaded.context_length};
  if (lengths.back() > text.loaded.context_length) {
    throw Error(fmt::format("{}: rows of {} tokens are shorter than the context of {}",
                            text.loaded.path.string(), text.loaded.context_length, lengths.back()));
  }
  protocol.context_lengths = lengths;
  protocol.score_tail = arguments.score_tail > 0 ? arguments.score_tail : (matched ? 128 : 0);
  protocol.has_bos = text.loaded.bos_id.has_value();
  if (matched || arguments.score_tail > 0) {
    from_command_line([&] { check(protocol); });
  } else {
    check(protocol);
  }

  std::vector<TokenWindow> windows = cut_windows(text.loaded.documents, text.loaded.context_length,
                                                 text.loaded.bos_id, BosPolicy::window, false);
  text.available = windows.size();
  std::size_t longest = 0;
  const std::size_t needed =
      static_cast<std::size_t>(text.loaded.context_length) - (text.loaded.bos_id ? 1 : 0);
  for (const Document& document : text.loaded.documents) {
    longest = std::max(longest, document.token_ids.size());
    if (document.token_ids.size() < needed) ++text.too_short;
  }
  if (windows.empty()) {
    throw Error(fmt::format(
        "{}: too short for one window of {} tokens{}: the longest document has {} tokens (try a "
        "smaller context length)",
        text.loaded.path.string(), text.loaded.context_length,
        text.loaded.bos_id ? ", BOS included" : "", longest));
  }
  if (text.too_short > 0) {
    note(
        fmt::format("note: {} of {} documents are shorter than the context of {} tokens and left "
                    "out",
                    text.too_short, text.loaded.documents.size(), text.loaded.context_length));
  }
  if (text.available < static_cast<std::size_t>(arguments.documents)) {
    note(fmt::format("note: {} has {} full window{} of {} tokens, used instead of {}",
                     text.loaded.path.string(), text.available, text.available == 1 ? "" : "s",
                     text.loaded.context_length, arguments.documents));
  }
  text.windows = sample_windows(std::move(windows), static_cast<std::size_t>(arguments.documents));
  protocol.windows = text.windows.size();
  const TextRecord record = describe_text(text.loaded.documents, text.windows, text.available);
  text.tokens_sha256 = record.tokens_sha256;
  for (const WindowRecord& window : record.windows) text.labels.push_back(window_label(window));
  return text;
}

nlohmann::ordered_json loss_settings(const ModelSession& session, const LossText& text,
                                     std::uint64_t seed) {
  const CheckpointDigests digests = digest_checkpoint(
      session.model().directory(), session.model().tensors().files(), text.loaded.tokenizer_file);
  return {{"architecture", session.config().architecture},
          {"num_layers", session.config().num_layers},
          {"num_query_heads", session.config().num_query_heads},
          {"num_kv_heads", session.config().num_kv_heads},
          {"documents", text.windows.size()},
          {"context_lengths", text.protocol.context_lengths},
          {"score_tail", text.protocol.score_tail},
          {"bos", text.loaded.bos_source},
          {"seed", seed},
          {"compute", name(session.compute())},
          {"model", digests_json(digests)},
          {"text", {{"tokens_sha256", text.tokens_sha256}}}};
}

InterveneOutcome intervene(const InterveneArguments& arguments, WaveListener& listener,
                           const std::function<void(const std::string&)>& note) {
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
  std::optional<InterventionFiles> files;
  if (!arguments.out.empty()) {
    files.emplace(arguments.out, loss_settings(session, text, arguments.seed),
                  arguments.command_line, arguments.resume);
  } else if (arguments.resume) {
    throw UsageError("--resume needs the --out of the run to go on with");
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
    TreatedLoss loss(session, scored_windows(text.windows, text.protocol, length), arguments.lanes);
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
  try {
    for (const int length : text.protocol.context_lengths) measure(length);
  } catch (const Error&) {
    if (files) files->discard_unstarted();
    throw;
  }
  if (files) files->finish(results);
  return outcome;
}

}  // namespace toplens
