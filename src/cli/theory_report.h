#pragma once

#include <string>

#include "theory/simulation.h"

namespace toplens {

/// What `theory --simulate` prints: measured beside predicted, with coverage.
std::string simulation_report(const PopulationOptions& population, const SimulationOptions& options,
                              const Population& simulated);

/// The same as one JSON object.
std::string simulation_json(const PopulationOptions& population, const SimulationOptions& options,
                            const Population& simulated);

/// A Markdown table of coverage and error: no violation, then each of the default ones.
std::string sensitivity_report(const PopulationOptions& population,
                               const SimulationOptions& options, ThreadPool& pool);

}  // namespace toplens
