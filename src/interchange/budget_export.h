#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "interchange/duo_attention.h"
#include "interchange/head_files.h"
#include "interchange/head_scores.h"
#include "interchange/minference.h"

namespace toplens {

/// How many tokens each query head keeps, and at which context that was found.
struct HeadBudget {
  HeadLayout model;
  int context_length = 0;
  std::vector<int> kept_tokens;  ///< [layer * query_heads + query_head], 1 .. context_length
};

/// What the formats need beside the budget.
struct BudgetExportOptions {
  DuoAttentionCache duo_attention;
  HeadAggregation aggregation = HeadAggregation::max;  ///< query heads of a KV head
};

/// Kept tokens of each query head: HeadKV gives a head the share of its pool that its score has in
/// the sum of all.
HeadScores budget_scores(const HeadBudget& budget);
/// Share of the context that each KV head keeps, 0..1: the order in which DuoAttention turns heads
/// into streaming ones.
HeadScores budget_full_attention(const HeadBudget& budget, HeadAggregation aggregation);
/// vertical_and_slash for every head, half of its tokens as columns (rounded up), half as
/// diagonals, score 0.
MInferencePatterns budget_patterns(const HeadBudget& budget);

/// Writes the budget for engines into `directory`, which is made if it is missing: duo-attention as
/// full_attention_heads.tsv and config.json, head-scores as head_scores.json, minference as
/// minference.json, npy as kept_tokens.npy (int32 [layers, kv_heads]). Returns the files. Throws
/// Error where the budget is not one of its own layout and context.
std::vector<std::filesystem::path> export_budget(const HeadBudget& budget,
                                                 std::span<const HeadFileFormat> formats,
                                                 const std::filesystem::path& directory,
                                                 const BudgetExportOptions& options = {});

}  // namespace toplens
