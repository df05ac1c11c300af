#pragma once

#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/analysis_stage.h"
#include "parallel/thread_pool.h"
#include "results/run_directory.h"

namespace toplens {

/// What pooling made besides the files.
struct PooledResults {
  std::vector<std::string> summaries;                      ///< of the stages, for the terminal
  nlohmann::ordered_json json;                             ///< of the stages, for --json
  std::vector<std::pair<std::string, std::string>> files;  ///< written: name, what it is
};

/// Makes all results of a run from its parts alone: heads.csv, heads.nc and the stages' own files
/// go to `sink`. The same parts give the same bytes, with any number of threads.
PooledResults pool_parts(const PartsReader& parts, const RunManifest& manifest, ThreadPool& threads,
                         const AnalysisStages& stages, ResultSink& sink);

}  // namespace toplens
