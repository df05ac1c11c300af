#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/data_type.h"
#include "interchange/head_scores.h"
#include "intervention/budget.h"
#include "model/model_config.h"

namespace toplens {

/// What stands in budget.json beside the budgets themselves.
// The checker takes the JSON library's moves for throwing ones.
// NOLINTNEXTLINE(bugprone-exception-escape)
struct BudgetRecord {
  nlohmann::ordered_json settings;  ///< digests of model and text, protocol, seed, arithmetic
  BudgetRequest request;
  std::string protocol;  ///< in words
  int context_length = 0;
  std::size_t calibration_documents = 0, verification_documents = 0;
  bool separate_verification = true;  ///< windows that had no part in choosing the budget
  HeadAggregation aggregation = HeadAggregation::max;
  int cache_context = 0;  ///< tokens in the cache whose bytes are given
  DataType cache_type = DataType::bf16;
};

/// Kept tokens of the kv heads, [layer * kv_heads + head].
std::vector<int> kv_kept(const ModelConfig& config, std::span<const int> kept,
                         HeadAggregation aggregation);

/// Bytes of the keys and values that the kv heads keep of a context of `cache_context` tokens.
std::uint64_t kv_cache_bytes(const ModelConfig& config, std::span<const int> kv_kept,
                             int cache_context, DataType type);

/// budget.json (docs/interventions.md).
nlohmann::ordered_json budget_json(const BudgetRecord& record, const ModelConfig& config,
                                   const BudgetResult& result);

/// A budget of a file, to be run again.
struct StoredBudget {
  AllocationRule allocation = AllocationRule::uniform;
  std::vector<int> kept;  ///< [layer * query_heads + head]
  double predicted_change = 0, verified_change = 0;
};
struct StoredBudgets {
  Ranking ranking = Ranking::attention;
  RemovalRule rule = RemovalRule::remove;
  double tolerance = 0;
  int context_length = 0;
  std::vector<StoredBudget> budgets;
};

/// Reads budget.json for a model with this configuration and these digests (digests_json()). Throws
/// Error naming the key where the file is malformed, and what differs where it is another model's.
StoredBudgets read_budgets(const std::filesystem::path& path, const ModelConfig& config,
                           const nlohmann::ordered_json& digests);

}  // namespace toplens
