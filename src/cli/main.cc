#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include <fmt/core.h>
#include <toplens/error.h>
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/usage_error.h"
#include "kernels/simd_level.h"
#include "parallel/launch.h"
#include "parallel/mpi_channel.h"
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

/// Several processes of a command that one process runs would all do the same.
void check_launch(const CLI::App& app, const toplens::Launch& launch) {
  const CLI::App& command = *app.get_subcommands().front();
  if (launch.size == 1 || command.get_option_no_throw("--mpi") != nullptr) return;
  std::string sharing;
  for (const CLI::App* other : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (other->get_option_no_throw("--mpi") == nullptr) continue;
    sharing += (sharing.empty() ? "" : ", ") + other->get_name();
  }
  throw toplens::UsageError(
      fmt::format("{} started {} processes, but '{}' runs in one: only {} share their work",
                  launch.launcher, launch.size, command.get_name(), sharing));
}

/// The processes that a launcher started together, and this one among them.
class Processes {
 public:
  toplens::Channel& open(bool with_mpi) {
    if (with_mpi || launch_.size > 1) {
      channel_ = toplens::open_mpi_channel(launch_);
    } else {
      channel_ = std::make_unique<toplens::LoneChannel>();
    }
    return *channel_;
  }
  const toplens::Launch& launch() const { return launch_; }
  /// One of them speaks for all.
  bool speaks() const { return channel_ ? channel_->rank() == 0 : launch_.rank == 0; }
  /// Says what failed, then ends the other processes.
  int fail(int exit_code, const std::string& message) {
    if (!channel_ && launch_.rank != 0) {
      // All see the same command line; where only this one's is wrong, this one is heard.
      std::this_thread::sleep_for(std::chrono::seconds(3));
      fmt::print(stderr, "toplens: rank {}: {}\n", launch_.rank, message);
    } else if (speaks()) {
      fmt::print(stderr, "toplens: {}\n", message);
    }
    std::fflush(stderr);
    if (channel_) channel_->abandon(exit_code);
    return exit_code;
  }

 private:
  toplens::Launch launch_ =
      toplens::find_launch([](const char* variable) { return std::getenv(variable); });
  std::unique_ptr<toplens::Channel> channel_;
};

int run(int argc, char** argv, Processes& processes) {
  using namespace toplens;
  CLI::App app(
      "toplens puts a top-N selection lens on attention in large language models.\n"
      "Run 'toplens COMMAND --help' for a command's options.",
      "toplens");
  app.set_version_flag("--version", "toplens " + build_info().version);
  app.require_subcommand(1);
  const std::vector<std::string> command_line(argv, argv + argc);
  Action action;
  const OpenChannel open_channel = [&](bool with_mpi) -> Channel& {
    return processes.open(with_mpi);
  };
  add_analyze_command(app, action, command_line, open_channel);
  add_capture_command(app, action);
  add_geometry_command(app, action);
  add_compare_command(app, action);
  add_perplexity_command(app, action);
  add_inspect_command(app, action);
  add_generate_command(app, action);
  add_report_command(app, action);
  add_theory_command(app, action);
  add_intervene_command(app, action, command_line, open_channel);
  add_budget_command(app, action, command_line, open_channel);
  add_retrieval_command(app, action);
  add_questions_command(app, action);
  add_selfcheck_command(app, action);
  add_verify_command(app, action);
  try {
    check_command(app, command_line);
    app.parse(argc, argv);
    if (const char* level = std::getenv("TOPLENS_SIMD")) force_simd_level(level);
    check_launch(app, processes.launch());
    note_interrupts();
    action();
    return 0;
  } catch (const CLI::Success& asked) {  // for help or the version
    return processes.speaks() ? app.exit(asked) : 0;
  } catch (const CLI::ParseError& error) {
    return processes.fail(kBadUsage, fmt::format("{} (see 'toplens --help')", error.what()));
  } catch (const UsageError& error) {
    return processes.fail(kBadUsage, error.what());
  } catch (const Error& error) {
    return processes.fail(kWorkFailed, error.what());
  } catch (const Interrupted&) {
    return processes.fail(kInterrupted, "interrupted");
  } catch (const std::bad_alloc&) {
    return processes.fail(kWorkFailed, "out of memory; try a smaller --memory or --context-length");
  } catch (const std::exception& error) {
    return processes.fail(kWorkFailed, error.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Processes processes;
    return run(argc, argv, processes);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "toplens: %s\n", error.what());
    return kWorkFailed;
  }
}
