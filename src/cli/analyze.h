#pragma once

#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/measures_options.h"
#include "cli/options.h"
#include "cli/theory_options.h"
#include "parallel/channel.h"
#include "parallel/progress.h"
#include "results/run_manifest.h"

namespace toplens {

/// The command line of `analyze`, parsed.
struct AnalyzeArguments {
  EngineArguments engine;
  TextArguments text;
  GeometryArguments geometry;
  int documents = 32;
  bool random_all_queries = false;
  std::string theory = "on";
  TheoryArguments predictions;
  MeasuresArguments measures;
  std::string out;
  bool resume = false;
  bool digest_weights = false;
  bool json = false;
  bool mpi = false;
  std::vector<std::string> command_line;
};

/// Told what happens during a run; the command prints it, tests count it.
class AnalyzeListener : public ProgressListener {
 public:
  virtual void note(const std::string& line) = 0;
  /// Work that remains: units of one layer and one document, each standing for so many tokens.
  virtual void start(std::uint64_t units, double tokens_per_unit) = 0;
  virtual void finish_part(std::uint64_t units) = 0;
};

struct AnalyzeOutcome {
  RunManifest manifest;
  std::vector<std::string> summaries;                      ///< of the stages, for the terminal
  nlohmann::ordered_json json;                             ///< of the stages
  std::vector<std::pair<std::string, std::string>> files;  ///< written: name, what it is
  std::uint64_t layer_forwards =
      0;  ///< layers x documents computed now (not read from finished parts)
};

/// corpus -> tokens -> lanes through layers -> observers of the stages -> parts -> pooled results.
/// Finished parts of a resumed run are kept.
AnalyzeOutcome analyze(const AnalyzeArguments& arguments, AnalyzeListener& listener);
/// The same as rank 0 of several processes, which share the documents; closes the channel when the
/// others are no longer needed. Another rank's failure is thrown as this one's would be.
AnalyzeOutcome analyze(const AnalyzeArguments& arguments, AnalyzeListener& listener,
                       Channel& channel);

/// Computes documents for rank 0 as one of the other ranks, until none are left; closes the
/// channel. Throws FailureReported.
void assist_analysis(const AnalyzeArguments& arguments, Channel& channel);

}  // namespace toplens
