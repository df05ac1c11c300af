#include <array>
#include <filesystem>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <toplens/error.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "io/npy.h"
#include "model/output_head.h"
#include "observe/capture_observer.h"

namespace toplens {
namespace {

struct Arguments {
  EngineArguments engine;
  TextArguments text;
  std::vector<std::string> what = {"logits", "attention", "values", "head_output"};
  std::string layers = "all";
  std::string out;
};

struct Wanted {
  bool logits = false;
  CaptureRequest heads;
  bool any_heads() const { return heads.attention || heads.values || heads.head_output; }
};

Wanted parse_what(const std::vector<std::string>& names) {
  Wanted wanted;
  for (const std::string& name : names) {
    if (name == "logits") {
      wanted.logits = true;
    } else if (name == "attention") {
      wanted.heads.attention = true;
    } else if (name == "values") {
      wanted.heads.values = true;
    } else if (name == "head_output") {
      wanted.heads.head_output = true;
    } else {
      throw UsageError(
          fmt::format("--what '{}' is not known; expected logits, attention, values, "
                      "head_output",
                      name));
    }
  }
  return wanted;
}

/// The one document to capture: the row of --tokens, or the first window of the text, short if the
/// text is.
std::vector<std::int32_t> single_window(const LoadedText& text) {
  const std::vector<TokenWindow> windows =
      cut_windows(text.documents, text.context_length, text.bos_id, BosPolicy::window, true);
  if (windows.empty()) throw Error(fmt::format("{}: no tokens to run", text.path.string()));
  if (text.kind == "tokens" && windows.size() > 1) {
    throw Error(fmt::format("{}: holds {} documents; capture takes one, [T] or [1, T]",
                            text.path.string(), windows.size()));
  }
  return windows.front().token_ids;
}

std::filesystem::path make_directory(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw Error(fmt::format("{}: cannot be made: {}", path, error.message()));
  return path;
}

void run(const Arguments& arguments) {
  Wanted wanted = parse_what(arguments.what);
  ModelSession session = arguments.engine.open();
  const ModelConfig& config = session.config();
  wanted.heads.layers = parse_layers(arguments.layers, config.num_layers);
  const std::vector<std::int32_t> ids = single_window(arguments.text.load(session.model()));
  CaptureObserver observer(wanted.heads, arguments.out);
  std::vector<AttentionObserver*> observers;
  if (wanted.any_heads()) observers.push_back(&observer);
  const std::array<std::size_t, 1> lengths = {ids.size()};
  EngineDemand demand;
  demand.kept_queries = kept_queries(observers, static_cast<int>(ids.size()));
  const EnginePlan plan = session.plan(lengths, demand);
  const std::filesystem::path directory = make_directory(arguments.out);
  const auto vocabulary = static_cast<std::uint64_t>(config.vocab_size);
  // Made first: a disk that is too small is found before the work.
  std::optional<NpyFloatWriter> logits;
  if (wanted.logits) {
    logits.emplace(directory / "logits.npy", std::vector<std::uint64_t>{ids.size(), vocabulary});
  }
  const std::array<Lane, 1> lanes = {Lane{ids}};
  TerminalProgress progress(static_cast<std::uint64_t>(config.num_layers),
                            static_cast<double>(ids.size()) / config.num_layers);
  const HiddenStates hidden =
      ForwardPass(session.model(), session.pool(), plan).run(lanes, observers, &progress);
  if (logits) {
    OutputHead(session.model(), session.pool(), plan)
        .logits(hidden, 0, [&](std::size_t row, std::size_t first, std::span<const float> values) {
          logits->write(row * vocabulary + first, values);
        });
    logits->finish();
  }
  if (wanted.any_heads()) observer.finish();
  print_output(fmt::format("captured {} tokens, {} arithmetic, into {}\n", ids.size(),
                           name(session.compute()), arguments.out));
}

}  // namespace

void add_capture_command(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "capture", "Store logits, attention, values and head outputs of one document as .npy files");
  arguments->engine.add_to(command);
  arguments->text.add_to(command);
  command
      .add_option("--what", arguments->what,
                  "logits.npy [T, vocab], attention.npy [layer, head, query, key], values.npy "
                  "[layer, kv_head, key, head_dim], head_output.npy [layer, head, query, head_dim]")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST")
      ->capture_default_str();
  command.add_option("--layers", arguments->layers, "Layers to store: all or a list, as in 0,2")
      ->type_name("LIST")
      ->capture_default_str();
  command.add_option("--out", arguments->out, "Directory for the files")
      ->required()
      ->type_name("DIR");
  command.callback([&action, arguments] { action = [arguments] { run(*arguments); }; });
}

}  // namespace toplens
