#include <memory>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/analyze.h"
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
  arguments->engine.add_to(command);
  arguments->text.add_to(command);
  command
      .add_option("--documents", arguments->documents,
                  "Documents (full windows of the text, spread evenly over it)")
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("D")
      ->capture_default_str();
  arguments->geometry.add_to(command,
                             "Query positions to measure: last, all, or tail:K for the last K; "
                             "results are means over them per document");
  command.add_flag("--random-all-queries", arguments->random_all_queries,
                   "Measure the random control at all these queries, not at the final one alone");
  command
      .add_option("--theory", arguments->theory,
                  "Fit the theory's assumptions at the final query and set its bounds and "
                  "predictions beside the measurement; takes 27 KB of disk per head and document")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  const std::vector<CLI::Option*> predictions = arguments->predictions.add_to(command);
  arguments->measures.add_to(command);
  command.add_option("--out", arguments->out, "Run directory for the results, new or empty")
      ->required()
      ->type_name("DIR");
  command.add_flag("--resume", arguments->resume,
                   "Go on with the interrupted run in --out; finished parts are kept");
  command.add_flag("--json", arguments->json,
                   "Curves, theory and regimes as one JSON object on stdout");
  const auto with_mpi = std::make_shared<bool>(false);
  command.add_flag("--mpi", *with_mpi,
                   "Share the documents among MPI's ranks. Needed only with launchers other than "
                   "mpirun and srun, which are recognised (docs/cluster.md)");
  command.callback([&action, arguments, predictions, with_mpi, open_channel] {
    for (const CLI::Option* option : predictions) {
      if (arguments->theory == "off" && option->count() > 0) {
        throw UsageError(fmt::format("{} needs --theory on", option->get_name()));
      }
    }
    action = [arguments, with_mpi, open_channel] { run(*arguments, open_channel(*with_mpi)); };
  });
}

}  // namespace toplens
