#include <cmath>
#include <memory>

#include <fmt/format.h>
#include <toplens/error.h>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "model/output_head.h"

namespace toplens {
namespace {

struct Arguments {
  EngineArguments engine;
  TextArguments text;
  std::string bos = "window";
  bool json = false;
};

BosPolicy parse_bos(const std::string& text) {
  if (text == "window") return BosPolicy::window;
  if (text == "document") return BosPolicy::document;
  if (text == "none") return BosPolicy::none;
  throw UsageError(fmt::format("--bos '{}' is not known; expected window, document or none", text));
}

struct Score {
  double nll_nats = 0;  ///< sum over targets
  std::size_t targets = 0;
};

Score score(ModelSession& session, const std::vector<TokenWindow>& windows) {
  std::vector<std::size_t> lengths;
  std::size_t tokens = 0;
  for (const TokenWindow& window : windows) {
    lengths.push_back(window.token_ids.size());
    tokens += window.token_ids.size();
  }
  EngineDemand demand;
  demand.lanes_wanted = 16;
  const EnginePlan plan = session.plan(lengths, demand);
  ForwardPass pass(session.model(), session.pool(), plan);
  OutputHead head(session.model(), session.pool(), plan);
  const auto layers = static_cast<std::uint64_t>(session.config().num_layers);
  TerminalProgress progress(
      layers * windows.size(),
      static_cast<double>(tokens) / static_cast<double>(layers * windows.size()));
  Score total;
  const auto batch = static_cast<std::size_t>(plan.lanes_per_batch);
  for (std::size_t first = 0; first < windows.size(); first += batch) {
    std::vector<Lane> lanes;
    for (std::size_t i = first; i < std::min(first + batch, windows.size()); ++i) {
      lanes.push_back({windows[i].token_ids});
    }
    const HiddenStates hidden = pass.run(lanes, {}, &progress);
    for (const std::vector<double>& lane_nll : head.token_nll(hidden, lanes)) {
      for (const double nll : lane_nll) total.nll_nats += nll;
      total.targets += lane_nll.size();
    }
    progress.finish_batch(layers * lanes.size());
  }
  return total;
}

void run(const Arguments& arguments) {
  const BosPolicy policy = parse_bos(arguments.bos);
  ModelSession session = arguments.engine.open();
  const LoadedText text = arguments.text.load(session.model());
  const std::vector<TokenWindow> windows =
      cut_windows(text.documents, text.context_length, text.bos_id, policy, true);
  if (windows.empty()) {
    throw Error(fmt::format("{}: too short, no token has one before it to be predicted from",
                            text.path.string()));
  }
  const Score result = score(session, windows);
  const double nll = result.nll_nats / static_cast<double>(result.targets);
  if (arguments.json) {
    nlohmann::ordered_json json;
    json["nll_nats_per_token"] = nll;
    json["perplexity"] = std::exp(nll);
    json["num_targets"] = result.targets;
    print_output(json.dump() + "\n");
    return;
  }
  print_output(
      fmt::format("NLL {:.6f} nats per token, perplexity {:.4f}, over {} targets\n"
                  "protocol: {} windows of up to {} tokens, BOS: {}, {} arithmetic\n",
                  nll, std::exp(nll), result.targets, windows.size(), text.context_length,
                  text.bos_id && policy != BosPolicy::none
                      ? fmt::format("token {} at the start of each {}", *text.bos_id, arguments.bos)
                      : "none",
                  name(session.compute())));
}

}  // namespace

void add_perplexity_command(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "perplexity", "Negative log-likelihood per token of a text under a model");
  arguments->engine.add_to(command);
  arguments->text.add_to(command);
  command
      .add_option("--bos", arguments->bos,
                  "Where the checkpoint's BOS token is put: at the start of each window, of each "
                  "document, or none")
      ->type_name("WHERE")
      ->capture_default_str();
  command.add_flag("--json", arguments->json,
                   "One JSON object: nll_nats_per_token, perplexity, num_targets");
  command.callback([&action, arguments] { action = [arguments] { run(*arguments); }; });
}

}  // namespace toplens
