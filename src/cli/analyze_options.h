#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "cli/analyze.h"

namespace toplens {

/// All options of `analyze`; `arguments` must outlive the command. Returns those that need the
/// theory.
std::vector<CLI::Option*> add_analyze_options(CLI::App& command, AnalyzeArguments& arguments);

/// A recorded command line, the program first, parsed anew. Throws UsageError where this version
/// does not understand it.
AnalyzeArguments parse_analyze_command(const std::vector<std::string>& command_line);

}  // namespace toplens
