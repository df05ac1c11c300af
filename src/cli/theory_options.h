#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "theory/run_theory.h"

namespace toplens {

/// --weights --effective-dimension --residuals --draws --envelope-documents: how predictions are
/// made of fitted assumptions.
struct TheoryArguments {
  std::string weights = "measured";
  std::string dimension = "head-dim";
  std::string residuals = "fitted";
  int draws = 0;  // 32, with profile weights 64
  int envelope_documents = 16;

  /// All of them.
  std::vector<CLI::Option*> add_to(CLI::App& command);
  /// Without --draws and --envelope-documents, for a command that has its own.
  std::vector<CLI::Option*> add_sources_to(CLI::App& command);
  /// `seed` of the run. Throws UsageError for unknown names, listing the valid ones.
  RunTheoryOptions options(std::uint64_t seed) const;
};

}  // namespace toplens
