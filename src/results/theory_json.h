#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "results/theory_pool.h"
#include "theory/theory_summary.h"

namespace toplens {

/// Why a correlation has no value.
std::string_view why_undefined(const RankCorrelation& correlation);
nlohmann::ordered_json to_json(const RankCorrelation& correlation);
nlohmann::ordered_json to_json(const CoverageSummary& summary);

/// Coverage overall and by set size, the conditional bounds and the correlations of N_half.
nlohmann::ordered_json coverage_json(std::span<const HeadTheory> heads,
                                     std::span<const int> set_sizes, std::uint64_t seed);

/// Layers [first, end) of a run.
struct LayerRange {
  std::size_t first = 0, end = 0;
};
/// Early, middle and late thirds; fewer where there are fewer than three layers.
std::vector<LayerRange> layer_thirds(std::size_t layers);

/// How many heads keep each assumption (theory.md 3), and why the others do not.
struct AssumptionCounts {
  std::size_t heads = 0;
  std::size_t norms_estimated = 0, sinks_estimated = 0, sinks_compressed = 0;
  std::size_t similarity_estimated = 0, decay_present = 0, similarity_not_applicable = 0;
  std::size_t profile_estimated = 0, recency_present = 0, oscillation_present = 0;
  std::map<std::string, std::size_t> norm_reasons, decay_reasons, profile_reasons;
  // Medians over the heads where estimated; NaN where there is none.
  double norm_spread = 0, sink_norm_ratio = 0, decay_length = 0, mean_cosine = 0;
  /// Of the first ranking, over set sizes too; effective: with the values' effective rank for d.
  double effective_rank = 0, sigma = 0, effective_sigma = 0;
  std::size_t head_dim = 0;
  double sink_similarity = 0, sink_mass = 0, profile_r_squared = 0;
};
AssumptionCounts count_assumptions(const RunTheory& run);

/// rho_0 of each head, NaN where not estimable.
std::vector<double> sink_similarities(std::span<const HeadFit> fits);

/// theory.json: options, assumptions, and for each ranking with a prediction its coverage (overall,
/// by layer third, by set size), correlations and the histogram of the best small N.
nlohmann::ordered_json theory_json(const PooledTheory& theory, const RunTheoryOptions& options);

}  // namespace toplens
