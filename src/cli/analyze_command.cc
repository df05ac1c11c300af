#include <cmath>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/analyze.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "results/geometry_dataset.h"
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

/// The overall curves: means over heads and documents.
nlohmann::ordered_json curves(const GeometryView& view) {
  nlohmann::ordered_json array = nlohmann::ordered_json::array();
  for (std::size_t r = 0; r < view.rankings.size(); ++r) {
    for (std::size_t d = 0; d < view.distances.size(); ++d) {
      for (std::size_t n = 0; n < view.set_sizes.size(); ++n) {
        nlohmann::ordered_json record;
        record["ranking"] = view.rankings[r];
        record["distance"] = view.distances[d];
        record["set_size"] = view.set_sizes[n];
        for (std::size_t metric = 0; metric < kGeometryMetrics.size(); ++metric) {
          double sum = 0;
          std::size_t count = 0;
          for (const double mean : mean_over_documents(view, metric, r, d, n)) {
            if (std::isnan(mean)) continue;
            sum += mean;
            ++count;
          }
          record[std::string(kGeometryMetrics[metric])] =
              count > 0 ? nlohmann::ordered_json(sum / static_cast<double>(count)) : nullptr;
        }
        array.push_back(std::move(record));
      }
    }
  }
  return array;
}

void run(const AnalyzeArguments& arguments) {
  TerminalListener listener;
  AnalyzeOutcome outcome;
  try {
    outcome = analyze(arguments, listener);
  } catch (const Interrupted&) {
    print_note(
        fmt::format("\nFinished parts are kept in {}; go on with the same command and --resume",
                    arguments.out));
    throw;
  }
  const GeometryView view(outcome.geometry);
  if (arguments.json) {
    nlohmann::ordered_json json;
    json["run_directory"] = arguments.out;
    json["documents"] = view.documents.size();
    json["curves"] = curves(view);
    print_output(json.dump() + "\n");
    return;
  }
  print_output(
      run_headline(outcome.manifest) + "\n" + geometry_summary(view) +
      fmt::format(
          "\nResults: {0}/heads.csv (one row per head), {0}/geometry.nc{1} (xarray), "
          "{0}/run.json\n",
          arguments.out,
          outcome.manifest.protocol.theory ? fmt::format(" and {}/heads.nc", arguments.out) : ""));
}

}  // namespace

void add_analyze_command(CLI::App& app, Action& action,
                         const std::vector<std::string>& command_line) {
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
      .add_option(
          "--theory", arguments->theory,
          "Record what the theory needs of the final query and fit its assumptions (heads.nc); "
          "takes 27 KB of disk per head and document")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  command.add_option("--out", arguments->out, "Run directory for the results, new or empty")
      ->required()
      ->type_name("DIR");
  command.add_flag("--resume", arguments->resume,
                   "Go on with the interrupted run in --out; finished parts are kept");
  command.add_flag("--json", arguments->json, "The overall curves as one JSON object on stdout");
  command.callback([&action, arguments] { action = [arguments] { run(*arguments); }; });
}

}  // namespace toplens
