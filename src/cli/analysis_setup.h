#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cli/analysis_stage.h"
#include "cli/analyze.h"
#include "cli/run_text.h"
#include "model/session.h"
#include "results/run_manifest.h"

namespace toplens {

/// Documents of one part at most: what an interruption can lose.
inline constexpr std::size_t kMostDocumentsPerPart = 8;

/// What every process of a run makes of the command line before it computes: the same everywhere,
/// so that a document's results do not depend on who computes it.
class AnalysisSetup {
 public:
  AnalysisSetup(const AnalyzeArguments& arguments, AnalyzeListener& listener);
  AnalysisSetup(const AnalysisSetup&) = delete;
  AnalysisSetup& operator=(const AnalysisSetup&) = delete;

  ModelSession& session() { return session_; }
  const RunText& text() const { return text_; }
  const AnalysisStages& stages() const { return stages_; }
  const EnginePlan& plan() const { return plan_; }
  std::size_t num_documents() const { return text_.windows.size(); }

  /// As it is before the run; documents_per_part is left open, and so are whole weight files.
  RunManifest manifest();
  /// CheckpointDigests::weight_files: reads all weights.
  std::map<std::string, std::string> digest_weights() const;
  /// What so many documents, computed by so many processes like this one, will need.
  std::string estimate(std::size_t documents, std::size_t processes);

 private:
  const AnalyzeArguments& arguments_;
  ModelSession session_;
  RunText text_;
  AnalysisStages stages_;
  std::vector<StageDemand> demands_;
  EnginePlan plan_;
};

}  // namespace toplens
