#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/name_table.h"
#include "statistics/rank_correlation.h"
#include "theory/coverage.h"
#include "theory/head_theory.h"

namespace toplens {

enum class Metric { precision, recall, f_score };

inline constexpr std::array<NamedKind<Metric>, 3> kMetricNames = {
    {{Metric::precision, "precision"}, {Metric::recall, "recall"}, {Metric::f_score, "f_score"}}};

/// The metric's part of bounds and predictions.
double value_of(const Separation& separation, Metric metric);
/// The metric as measured.
const MeasuredMean& measured_of(const TheoryAtSize& size, Metric metric);

// Heads below are given with everything that the theory says of them; a head of which nothing is
// known has no sizes and counts nowhere.

/// Prediction beside measurement for sizes of at least 2 (N = 1 is known without a theory).
std::vector<CoverageCell> coverage_cells(std::span<const HeadTheory> heads, Metric metric,
                                         std::optional<int> set_size = std::nullopt);

/// How the conditional bounds fared over the cells with N >= 2.
struct ConditionalCheck {
  std::size_t cells = 0;
  std::size_t below = 0;  ///< Chernoff precision and recall at most 3 SE above the measured mean
  std::size_t near = 0;   ///< Gaussian precision within 0.05 of the measured mean
};
ConditionalCheck check_conditional(std::span<const HeadTheory> heads);

/// Spearman over heads of the measured N_half with the predicted one and with N_crit (25). Sizes
/// beyond the largest rank above all others.
struct RegimeCorrelations {
  RankCorrelation predicted, critical;
};
RegimeCorrelations regime_correlations(std::span<const HeadTheory> heads,
                                       std::uint64_t seed = 2027);

/// theory.md (26) at one set size: Spearman over heads of sink similarity with measured recall.
struct SinkCorrelations {
  int set_size = 0;
  RankCorrelation selected;          ///< heads whose sink is selected in at least 90% of documents
  RankCorrelation selected_partial;  ///< the same, sink mass taken out
  RankCorrelation unselected;        ///< heads whose sink is selected in at most 10%
  RankCorrelation all;               ///< as GATS states it
};
/// `sink_similarity` of each head, NaN where there is none; these heads are left out.
std::vector<SinkCorrelations> sink_correlations(std::span<const HeadTheory> heads,
                                                std::span<const double> sink_similarity,
                                                std::uint64_t seed = 2027);

/// Number of heads whose measured F is largest at each N >= 2, the smaller one of equals.
std::map<int, std::size_t> best_small_sizes(std::span<const HeadTheory> heads);

}  // namespace toplens
