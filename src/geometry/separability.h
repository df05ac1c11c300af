#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "base/name_table.h"
#include "kernels/separation.h"
#include "selection/ranking.h"

namespace toplens {

/// How far a token's weighted value vector is from the selected aggregate (theory.md 2).
enum class Distance { euclidean, cosine };

inline constexpr std::array<NamedKind<Distance>, 2> kDistanceNames = {{
    {Distance::euclidean, "euclidean"},
    {Distance::cosine, "cosine"},
}};

inline std::string_view name(Distance distance) { return name_in(kDistanceNames, distance); }
/// Throws Error listing the valid names.
inline Distance parse_distance(std::string_view text) {
  return parse_name(kDistanceNames, "distance", text);
}

/// How well one selection separates from the other visible tokens, or a mean of such. All NaN where
/// the set size is not below the number of visible tokens: not defined there.
struct Separability {
  static constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

  double precision = kUndefined;    ///< P_N, theory.md (1)
  double recall = kUndefined;       ///< R_N, theory.md (2)
  double f_score = kUndefined;      ///< F_N, theory.md (3)
  double margin = kUndefined;       ///< gamma_N, theory.md (4), in the unit of the distance
  double inversions = kUndefined;   ///< GInv_N, theory.md (5); NaN where not asked for
  double light_share = kUndefined;  ///< cosine: share of visible tokens with |y_i| |s| < 1e-10

  bool defined() const { return !std::isnan(precision); }
};

/// The metrics by name: one row for each.
struct SeparabilityMetric {
  std::string_view name;
  double Separability::*value;
  std::string_view long_name;
};

inline constexpr std::array<SeparabilityMetric, 6> kSeparabilityMetrics = {{
    {"precision", &Separability::precision, "precision P_N"},
    {"recall", &Separability::recall, "recall R_N"},
    {"f_score", &Separability::f_score, "F-score F_N"},
    {"margin", &Separability::margin, "separation margin gamma_N"},
    {"inversions", &Separability::inversions, "geometric inversions GInv_N"},
    {"light_share", &Separability::light_share, "share of tokens with |y_i| |s| below 1e-10"},
}};

/// The metrics that a user can ask for.
enum class GeometryMetric { precision, recall, f_score, margin, inversions };

inline constexpr std::array<NamedKind<GeometryMetric>, 5> kGeometryMetricNames = {{
    {GeometryMetric::precision, "precision"},
    {GeometryMetric::recall, "recall"},
    {GeometryMetric::f_score, "f_score"},
    {GeometryMetric::margin, "margin"},
    {GeometryMetric::inversions, "inversions"},
}};

/// Throws Error listing the valid names.
inline GeometryMetric parse_geometry_metric(std::string_view text) {
  return parse_name(kGeometryMetricNames, "metric", text);
}

/// Adds every metric of `term` to `sum`; with NaN in either the sum is NaN.
inline void add(Separability& sum, const Separability& term) {
  for (const SeparabilityMetric& metric : kSeparabilityMetrics) {
    sum.*metric.value += term.*metric.value;
  }
}

/// The mean from the sum of `count` terms.
inline void divide(Separability& sum, int count) {
  for (const SeparabilityMetric& metric : kSeparabilityMetrics) sum.*metric.value /= count;
}

/// All metrics 0: the start of a sum.
inline Separability zero_separability() { return {0.0, 0.0, 0.0, 0.0, 0.0, 0.0}; }

/// theory.md (1)-(3) from counts. `margin` is left to the distance.
inline Separability separability_from_counts(const SeparationCounts& counts, std::size_t set_size) {
  const auto size = static_cast<double>(set_size);
  Separability result;
  result.precision = size / (size + static_cast<double>(counts.contaminating));
  result.recall = static_cast<double>(counts.clear) / size;
  result.f_score = 2.0 * result.precision * result.recall / (result.precision + result.recall);
  result.inversions = static_cast<double>(counts.inversions);
  return result;
}

/// What is measured at one query.
struct GeometryOptions {
  std::vector<int> set_sizes = {1, 2, 4, 8, 16, 32, 64, 128, 256};
  std::vector<Ranking> rankings = {Ranking::attention, Ranking::contribution, Ranking::random};
  std::vector<Distance> distances = {Distance::euclidean, Distance::cosine};
  int random_repeats = 16;  ///< random rankings averaged at a query
  std::uint64_t seed = 2027;
  bool random_at_all_queries = false;  ///< else at a document's final query only
  bool with_inversions = true;         ///< the one metric that costs extra
  bool random_inversions = true;       ///< with_inversions holds of the random ranking too
};

/// Throws Error naming an empty list, a size below 1, a value given twice, or no random repeats.
void check(const GeometryOptions& options);

}  // namespace toplens
