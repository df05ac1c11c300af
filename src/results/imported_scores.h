#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "interchange/head_scores.h"
#include "measures/head_summary.h"
#include "results/dataset.h"
#include "results/heads_table.h"
#include "statistics/rank_correlation.h"

namespace toplens {

/// Scores of heads that others published, of this model.
struct ImportedScores {
  std::filesystem::path file;
  HeadScores scores;
  HeadLayout model;
};

/// They beside the run's measures.
struct ScoreCorrelation {
  std::string measure;
  RankCorrelation correlation;
};
struct ImportedComparison {
  std::filesystem::path file;
  HeadKind kind = HeadKind::query;
  std::vector<double> by_head;                 ///< [layer][query head]; a kv head's for each of its
  std::vector<ScoreCorrelation> correlations;  ///< Spearman's, over heads that have the measure
};

ImportedComparison compare_imported(const ImportedScores& imported,
                                    const std::vector<HeadSummary>& heads,
                                    const RankCorrelationOptions& options);

/// Columns and variables imported_score, imported_score_2, ...
void add_imported_scores(Dataset& dataset, HeadTable& table,
                         const std::vector<ImportedComparison>& comparisons);

nlohmann::ordered_json imported_json(const std::vector<ImportedComparison>& comparisons);
/// The strongest correlations of each file.
std::string imported_text(const std::vector<ImportedComparison>& comparisons);

}  // namespace toplens
