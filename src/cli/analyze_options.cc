#include "cli/analyze_options.h"

#include <fmt/format.h>

#include "cli/usage_error.h"

namespace toplens {

std::vector<CLI::Option*> add_analyze_options(CLI::App& command, AnalyzeArguments& arguments) {
  arguments.engine.add_to(command);
  arguments.text.add_to(command);
  command
      .add_option("--documents", arguments.documents,
                  "Documents (full windows of the text, spread evenly over it)")
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("D")
      ->capture_default_str();
  arguments.geometry.add_to(command,
                            "Query positions to measure: last, all, or tail:K for the last K; "
                            "results are means over them per document");
  command.add_flag("--random-all-queries", arguments.random_all_queries,
                   "Measure the random control at all these queries, not at the final one alone");
  command
      .add_option("--theory", arguments.theory,
                  "Fit the theory's assumptions at the final query and set its bounds and "
                  "predictions beside the measurement; takes 27 KB of disk per head and document")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  const std::vector<CLI::Option*> predictions = arguments.predictions.add_to(command);
  arguments.measures.add_to(command);
  command.add_option("--out", arguments.out, "Run directory for the results, new or empty")
      ->required()
      ->type_name("DIR");
  command.add_flag("--resume", arguments.resume,
                   "Go on with the interrupted run in --out; finished parts are kept");
  command.add_flag("--digest-weights", arguments.digest_weights,
                   "Record the SHA-256 of every weight file as a whole (reads all of them once, "
                   "before the run; without it 64 samples of each are digested). --resume digests "
                   "them again where the run did, and refuses other weights");
  command.add_flag("--json", arguments.json,
                   "Curves, theory and regimes as one JSON object on stdout");
  command.add_flag("--mpi", arguments.mpi,
                   "Share the documents among MPI's ranks. Needed only with launchers other than "
                   "mpirun and srun, which are recognised (docs/cluster.md)");
  return predictions;
}

AnalyzeArguments parse_analyze_command(const std::vector<std::string>& command_line) {
  AnalyzeArguments arguments;
  arguments.command_line = command_line;
  CLI::App app;
  add_analyze_options(*app.add_subcommand("analyze"), arguments);
  app.require_subcommand(1);
  std::vector<std::string> reversed(command_line.rbegin(), command_line.rend());
  if (!reversed.empty()) reversed.pop_back();  // the program
  try {
    app.parse(reversed);
  } catch (const CLI::Error& error) {
    throw UsageError(fmt::format("not understood as a command line of analyze: {}", error.what()));
  }
  return arguments;
}

}  // namespace toplens
