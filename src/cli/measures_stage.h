#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/analysis_stage.h"
#include "measures/regime.h"
#include "results/imported_scores.h"

namespace toplens {

struct MeasuresStageOptions {
  int num_layers = 0, num_query_heads = 0, vocab_size = 0;  ///< of the model
  std::vector<int> set_sizes;                               ///< those below the documents' length
  QuerySelection queries = QuerySelection::last();
  std::string queries_name = "last";
  std::vector<int> lengths;  ///< the documents' own, then shorter ones
  RegimeThresholds thresholds;
  std::size_t detector_sequences = 0;
  std::size_t detector_tokens = 0;
  std::optional<std::int32_t> bos_id;
  std::vector<ImportedScores> imported;  ///< to compare the measures with
  std::uint64_t seed = 2027;
};

/// theory.md 8 and the measures of others: heads.csv, heads.nc, regimes.json. Nested contexts and
/// repeated random tokens are lanes of its own. After the theory's stage, whose coverage it tells
/// by regime.
std::unique_ptr<AnalysisStage> make_measures_stage(const MeasuresStageOptions& options);

}  // namespace toplens
