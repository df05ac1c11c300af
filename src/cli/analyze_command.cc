#include <memory>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/analyze.h"
#include "cli/analyze_options.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "results/run_directory.h"
#include "results/summary.h"

namespace toplens {
namespace {

class TerminalListener : public AnalyzeListener {
 public:
  void note(const std::string& line) override { print_note(line); }
  void start(std::uint64_t units, double tokens_per_unit) override {
    progress_.emplace(units, tokens_per_unit);
  }
  void advance(std::uint64_t done, std::uint64_t total) override {
    if (done == total) done_before_ += total;
    progress_->advance(done == total ? done_before_ : done_before_ + done, total);
  }
  void finish_part(std::uint64_t units) override {
    done_before_ = 0;
    progress_->finish_batch(units);
  }

 private:
  std::optional<TerminalProgress> progress_;
  std::uint64_t done_before_ = 0;  ///< in the part's earlier passes
};

void run(const AnalyzeArguments& arguments, Channel& channel) {
  if (channel.rank() > 0) return assist_analysis(arguments, channel);
  TerminalListener listener;
  AnalyzeOutcome outcome;
  try {
    outcome = analyze(arguments, listener, channel);
  } catch (const Interrupted&) {
    print_note(holds_run(arguments.out)
                   ? fmt::format("\nFinished parts are kept in {}; go on with the same command and "
                                 "--resume",
                                 arguments.out)
                   : "\nNothing was written yet; the same command starts anew");
    throw;
  }
  if (arguments.json) {
    nlohmann::ordered_json json;
    json["run_directory"] = arguments.out;
    json.update(outcome.json);
    print_output(json.dump() + "\n");
    return;
  }
  std::string text = run_headline(outcome.manifest);
  for (const std::string& summary : outcome.summaries) text += "\n" + summary;
  text += fmt::format("\nResults in {}:", arguments.out);
  for (std::size_t i = 0; i < outcome.files.size(); ++i) {
    const auto& [file, what] = outcome.files[i];
    text += fmt::format("{} {} ({})", i == 0 ? "" : ",", file, what);
  }
  print_output(text + "\n");
}

}  // namespace

void add_analyze_command(CLI::App& app, Action& action,
                         const std::vector<std::string>& command_line,
                         const OpenChannel& open_channel) {
  const auto arguments = std::make_shared<AnalyzeArguments>();
  arguments->command_line = command_line;
  CLI::App& command = *app.add_subcommand(
      "analyze", "The main job: run a model over text and measure every head's geometry");
  const std::vector<CLI::Option*> predictions = add_analyze_options(command, *arguments);
  command.callback([&action, arguments, predictions, open_channel] {
    for (const CLI::Option* option : predictions) {
      if (arguments->theory == "off" && option->count() > 0) {
        throw UsageError(fmt::format("{} needs --theory on", option->get_name()));
      }
    }
    action = [arguments, open_channel] { run(*arguments, open_channel(arguments->mpi)); };
  });
}

}  // namespace toplens
