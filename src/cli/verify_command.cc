#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <toplens/error.h>

#include "cli/check_table.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "cli/verify.h"
#include "parallel/memory.h"
#include "selfcheck/self_check.h"

namespace toplens {
namespace {

/// The check and how far it is, on standard error; also where an interrupt is noticed.
class VerifyProgress : public VerifyListener {
 public:
  void start(std::string_view check) override {
    check_interrupt();
    check_ = check;
    // Nothing more may come of this check.
    if (line_.is_rewritten() || line_.is_due()) line_.show(fmt::format("checking: {}", check_));
  }
  void advance(std::uint64_t done, std::uint64_t total) override {
    check_interrupt();
    if (!line_.is_due()) return;
    line_.show(fmt::format("checking: {}, {:.0f}%", check_,
                           100.0 * static_cast<double>(done) / static_cast<double>(total)));
  }
  void finish() { line_.erase(); }

 private:
  StatusLine line_;
  std::string check_;
};

void run(const VerifyArguments& arguments) {
  from_command_line([&] { return parse_bytes(arguments.memory); });
  VerifyProgress progress;
  const std::vector<CheckResult> results = verify_run(arguments, progress);
  progress.finish();
  print_output(arguments.json ? checks_json(results).dump() + "\n" : check_table(results));
  if (const std::size_t failed = count_failures(results); failed > 0) {
    throw Error(
        fmt::format("{}: {} of {} checks failed", arguments.run.string(), failed, results.size()));
  }
}

}  // namespace

void add_verify_command(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<VerifyArguments>();
  CLI::App& command = *app.add_subcommand(
      "verify",
      "Are a run's files as analyze wrote them, do its results follow from its parts, and do model "
      "and text give the same values again? A table of pass, warn and fail.\n"
      "Exit code: 0 no check failed, 1 one failed");
  command.add_option("RUN_DIR", arguments->run, "Run directory that analyze wrote")
      ->required()
      ->type_name("DIR");
  command
      .add_option("--model", arguments->model,
                  "The model, where it is not where the run found it (directory or .gguf file)")
      ->type_name("PATH");
  command
      .add_option("--text", arguments->text,
                  "The text, documents or token ids, where they are not where the run found them")
      ->type_name("FILE");
  command
      .add_option("--documents", arguments->documents,
                  "So many documents of the run, drawn at random, go through the model again; 0: "
                  "none")
      ->check(CLI::Range(0, 1 << 30))
      ->type_name("K")
      ->capture_default_str();
  command.add_option("--seed", arguments->seed, "Seed of the draw")->capture_default_str();
  command.add_option("--threads", arguments->threads, "Threads; 0: all that this process may use")
      ->check(CLI::Range(0, 4096))
      ->type_name("K")
      ->capture_default_str();
  command
      .add_option("--memory", arguments->memory, "Memory for activations and buffers, as in 8GiB")
      ->type_name("BYTES")
      ->capture_default_str();
  add_follow_links_to(command, arguments->follow_links);
  command.add_flag("--json", arguments->json,
                   "A JSON array of objects: check, asks, status, reason");
  command.callback([&action, arguments] { action = [arguments] { run(*arguments); }; });
}

}  // namespace toplens
