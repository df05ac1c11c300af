#pragma once

#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "parallel/channel.h"

namespace toplens {

/// What the chosen command does once the whole command line is understood.
using Action = std::function<void()>;

/// Connects the processes that a launcher started together; initialises MPI only if there are
/// several, or if it is asked for.
using OpenChannel = std::function<Channel&(bool with_mpi)>;

/// Each adds one subcommand with its options to `app`; parsing then sets `action` to what it does.
void add_analyze_command(CLI::App& app, Action& action,
                         const std::vector<std::string>& command_line,
                         const OpenChannel& open_channel);
void add_capture_command(CLI::App& app, Action& action);
void add_compare_command(CLI::App& app, Action& action);
void add_geometry_command(CLI::App& app, Action& action);
void add_perplexity_command(CLI::App& app, Action& action);
void add_inspect_command(CLI::App& app, Action& action);
void add_generate_command(CLI::App& app, Action& action);
void add_report_command(CLI::App& app, Action& action);
void add_theory_command(CLI::App& app, Action& action);
void add_budget_command(CLI::App& app, Action& action, const std::vector<std::string>& command_line,
                        const OpenChannel& open_channel);
void add_intervene_command(CLI::App& app, Action& action,
                           const std::vector<std::string>& command_line,
                           const OpenChannel& open_channel);
void add_retrieval_command(CLI::App& app, Action& action);
void add_questions_command(CLI::App& app, Action& action);
void add_selfcheck_command(CLI::App& app, Action& action);
void add_verify_command(CLI::App& app, Action& action);

}  // namespace toplens
