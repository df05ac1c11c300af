#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <toplens/error.h>

#include "cli/check_table.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "selfcheck/collect.h"
#include "selfcheck/self_check.h"

namespace toplens {
namespace {

struct Arguments {
  EngineArguments engine;
  std::string text, tokens;
  int context_length = 0;
  int windows = 4;
  bool json = false;
};

/// Now and then a line on standard error; also where an interrupt is noticed.
class SelfCheckProgress : public ProgressListener {
 public:
  void advance(std::uint64_t done, std::uint64_t total) override {
    check_interrupt();
    const auto now = std::chrono::steady_clock::now();
    if (now - shown_ < std::chrono::seconds(10)) return;
    shown_ = now;
    print_note(fmt::format("{:3.0f}% of a pass over the weights",
                           100.0 * static_cast<double>(done) / static_cast<double>(total)));
  }

 private:
  std::chrono::steady_clock::time_point shown_ = std::chrono::steady_clock::now();
};

/// A checkpoint that cannot be opened is evidence; what is wrong with the text is an error.
Evidence collect(const Arguments& arguments, const SelfCheckOptions& options) {
  bool opened = false;
  try {
    ModelSession session = arguments.engine.open();
    opened = true;
    const int most = session.config().max_position_embeddings;
    if (options.context_length > most) {
      throw UsageError(
          fmt::format("--context-length {} is more than the model's "
                      "max_position_embeddings of {}",
                      options.context_length, most));
    }
    SelfCheckProgress progress;
    return collect_evidence(session, options, &progress);
  } catch (const UsageError&) {
    throw;
  } catch (const Error& error) {
    if (opened) throw;
    Evidence evidence;
    evidence.checkpoint_error = error.what();
    return evidence;
  }
}

void run(const Arguments& arguments) {
  if (arguments.text.empty() == arguments.tokens.empty()) {
    throw UsageError("give exactly one of --text and --tokens");
  }
  if (!arguments.tokens.empty() && arguments.context_length != 0) {
    throw UsageError("--context-length does not go with --tokens, whose rows are used as they are");
  }
  SelfCheckOptions options;
  options.text = arguments.text;
  options.tokens = arguments.tokens;
  options.context_length = arguments.context_length;
  options.windows = static_cast<std::size_t>(arguments.windows);
  const std::vector<CheckResult> results = judge(collect(arguments, options));
  print_output(arguments.json ? checks_json(results).dump() + "\n" : check_table(results));
  const std::size_t failed = count_failures(results);
  if (failed > 0) {
    throw Error(fmt::format("{} of {} checks failed: results of this model cannot be trusted yet",
                            failed, results.size()));
  }
}

}  // namespace

void add_selfcheck_command(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "selfcheck",
      "Is this checkpoint read as it should be? Tokenizer, BOS, windows, soft-caps, arithmetic and "
      "loss of a model that was never tried, as a table of pass, warn and fail.\n"
      "Exit code: 0 no check failed, 1 one failed");
  arguments->engine.add_to(command);
  command
      .add_option("--text", arguments->text,
                  "UTF-8 text file of the kind that the model was trained on; some pages suffice")
      ->type_name("FILE");
  command
      .add_option("--tokens", arguments->tokens,
                  "Token ids instead (.npy, int32 or int64, [T] or [documents, T]): the tokenizer "
                  "is not tried")
      ->type_name("FILE");
  command
      .add_option("--context-length", arguments->context_length,
                  "Tokens per window, BOS included (default: 512 or the model's maximum, if that "
                  "is less); longer than a sliding window, where there is one, to try it")
      ->check(CLI::Range(4, 1 << 30))
      ->type_name("T");
  command.add_option("--windows", arguments->windows, "At most so many windows of the text")
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("COUNT")
      ->capture_default_str();
  command.add_flag("--json", arguments->json,
                   "A JSON array of objects: check, asks, status, reason");
  command.callback([&action, arguments] { action = [arguments] { run(*arguments); }; });
}

}  // namespace toplens
