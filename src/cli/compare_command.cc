#include <memory>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "io/atomic_file.h"
#include "results/run_comparison.h"

namespace toplens {
namespace {

struct CompareArguments {
  std::vector<std::string> runs;
  std::string csv;
};

void run(const CompareArguments& arguments) {
  if (arguments.runs.size() < 2) {
    throw UsageError(
        fmt::format("compare needs two run directories or more, {} given", arguments.runs.size()));
  }
  std::vector<ComparedRun> runs;
  for (const std::string& directory : arguments.runs) {
    runs.push_back(read_compared_run(directory));
  }
  if (!arguments.csv.empty()) write_file_atomically(arguments.csv, comparison_csv(runs));
  print_output(comparison_text(runs));
}

}  // namespace

void add_compare_command(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<CompareArguments>();
  CLI::App& command = *app.add_subcommand(
      "compare", "Two or more runs side by side: regimes, their depth, label agreement, curves");
  command.add_option("RUN_DIR", arguments->runs, "Run directories that analyze wrote")
      ->required()
      ->type_name("DIR");
  command.add_option("--csv", arguments->csv, "Write everything as one long table")
      ->type_name("FILE");
  command.callback([&action, arguments] { action = [arguments] { run(*arguments); }; });
}

}  // namespace toplens
