#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cli/options.h"
#include "parallel/progress.h"
#include "results/dataset.h"
#include "results/run_manifest.h"

namespace toplens {

/// The command line of `analyze`, parsed.
struct AnalyzeArguments {
  EngineArguments engine;
  TextArguments text;
  GeometryArguments geometry;
  int documents = 32;
  bool random_all_queries = false;
  std::string theory = "off";
  std::string out;
  bool resume = false;
  bool json = false;
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
  Dataset geometry;  ///< of all documents
  std::uint64_t layer_forwards =
      0;  ///< layers x documents computed now, not read from finished parts
};

/// corpus -> tokens -> lanes through layers -> observers -> parts -> pooled results. Finished parts
/// of a resumed run are kept.
AnalyzeOutcome analyze(const AnalyzeArguments& arguments, AnalyzeListener& listener);

}  // namespace toplens
