#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <toplens/error.h>
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/usage_error.h"
#include "kernels/simd_level.h"
#include "results/build_info.h"

namespace {

constexpr int kWorkFailed = 1;
constexpr int kBadUsage = 2;
constexpr int kInterrupted = 130;

/// Names an option that `command` does not have: CLI11 would first complain about what is missing.
void check_options(const CLI::App& command, const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    if (argument == "--") return;
    if (argument.rfind("--", 0) != 0) continue;
    const std::string option = argument.substr(0, argument.find('='));
    if (command.get_option_no_throw(option) != nullptr) continue;
    throw toplens::UsageError(fmt::format(
        "unknown option '{}' (see '{} --help')", option,
        command.get_parent() == nullptr ? command.get_name() : "toplens " + command.get_name()));
  }
}

/// CLI11 would only say that some subcommand is required.
void check_command(const CLI::App& app, const std::vector<std::string>& command_line) {
  if (command_line.size() < 2) return;
  const std::string& first = command_line[1];
  if (first.rfind('-', 0) == 0) return check_options(app, {first});
  std::string names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == first) {
      return check_options(*command, {command_line.begin() + 2, command_line.end()});
    }
    names += (names.empty() ? "" : ", ") + command->get_name();
  }
  throw toplens::UsageError(fmt::format("unknown command '{}'; expected one of {}", first, names));
}

int run(int argc, char** argv) {
  using namespace toplens;
  CLI::App app(
      "toplens puts a top-N selection lens on attention in large language models.\n"
      "Run 'toplens COMMAND --help' for a command's options.",
      "toplens");
  app.set_version_flag("--version", "toplens " + build_info().version);
  app.require_subcommand(1);
  const std::vector<std::string> command_line(argv, argv + argc);
  Action action;
  add_analyze_command(app, action, command_line);
  add_capture_command(app, action);
  add_geometry_command(app, action);
  add_compare_command(app, action);
  add_perplexity_command(app, action);
  add_inspect_command(app, action);
  add_generate_command(app, action);
  add_report_command(app, action);
  add_theory_command(app, action);
  add_intervene_command(app, action, command_line);
  add_budget_command(app, action, command_line);
  add_retrieval_command(app, action);
  add_questions_command(app, action);
  add_selfcheck_command(app, action);
  try {
    check_command(app, command_line);
    app.parse(argc, argv);
    if (const char* level = std::getenv("TOPLENS_SIMD")) force_simd_level(level);
    note_interrupts();
    action();
    return 0;
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return app.exit(version);
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "toplens: {} (see 'toplens --help')\n", error.what());
    return kBadUsage;
  } catch (const UsageError& error) {
    fmt::print(stderr, "toplens: {}\n", error.what());
    return kBadUsage;
  } catch (const Error& error) {
    fmt::print(stderr, "toplens: {}\n", error.what());
    return kWorkFailed;
  } catch (const Interrupted&) {
    fmt::print(stderr, "toplens: interrupted\n");
    return kInterrupted;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "toplens: out of memory; try a smaller --memory or --context-length\n");
    return kWorkFailed;
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "toplens: %s\n", error.what());
    return kWorkFailed;
  }
}
