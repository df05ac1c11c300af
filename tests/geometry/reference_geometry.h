#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <toplens/array_view.h>

#include "geometry/separability.h"

namespace toplens::testing {

/// theory.md 2 from the definitions in float64: explicit y_i, s and distances, quadratic loops.
struct ReferenceGeometry {
  Separability separability;
  /// True where some selected i and unselected j compare within the tolerance: euclidean
  /// |g_i - g_j| <= tolerance * (|2<y_i,s>| + |y_i|^2 + |2<y_j,s>| + |y_j|^2), cosine similarities
  /// that differ by at most the tolerance, though not equal bit for bit in a duplicated token.
  bool near_tie = false;
};

/// `selected` are indices into the rows of `values`, which are the visible tokens.
ReferenceGeometry reference_geometry(std::span<const float> attention,
                                     MatrixView<const float> values, Distance distance,
                                     std::span<const std::uint32_t> selected, double tie_tolerance);

/// The first `count` tokens by descending score, ties to the lower index, by a stable sort.
std::vector<std::uint32_t> reference_order(std::span<const double> scores, std::size_t count);

/// The scores of the attention or contribution ranking.
std::vector<double> reference_scores(std::span<const float> attention,
                                     MatrixView<const float> values, Ranking ranking);

}  // namespace toplens::testing
