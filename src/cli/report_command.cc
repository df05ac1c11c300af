#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "parallel/memory.h"
#include "report/report_page.h"
#include "results/run_directory.h"

namespace toplens {
namespace {

struct ReportArguments {
  std::vector<std::filesystem::path> runs;
  std::filesystem::path out;
};

void run(const ReportArguments& arguments) {
  const std::filesystem::path page =
      arguments.out.empty() ? arguments.runs.front() / "report.html" : arguments.out;
  const ReportOutcome outcome = write_report(arguments.runs, page);
  // Where the page of a run lies in its own directory.
  RunDirectory::record_later_results(page.parent_path(), {page.filename().string()});
  for (const LeftOutFigure& left_out : outcome.left_out) {
    print_note(
        fmt::format("left out of {}: {}: {}", left_out.run, left_out.figure, left_out.reason));
  }
  print_output(fmt::format("{} ({})\n", page.string(), format_bytes(outcome.bytes)));
}

}  // namespace

void add_report_command(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<ReportArguments>();
  CLI::App& command = *app.add_subcommand(
      "report", "The results of one run, or of several side by side, as one HTML page");
  command.add_option("RUN_DIR", arguments->runs, "Run directories that analyze wrote")
      ->required()
      ->type_name("DIR");
  command
      .add_option("--out", arguments->out,
                  "The page (default: report.html in the first run directory)")
      ->type_name("FILE");
  command.callback([&action, arguments] { action = [arguments] { run(*arguments); }; });
}

}  // namespace toplens
