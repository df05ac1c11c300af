#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "base/aligned_vector.h"

namespace toplens {

/// Rank of a column that no ranking of this query reaches; a column is selected iff its rank is
/// below the set size.
inline constexpr std::int32_t kUnranked = std::numeric_limits<std::int32_t>::max();
/// Kernels below read and write whole vectors: arrays of columns have a multiple of this length.
inline constexpr std::size_t kColumnBlock = 16;

/// What makes scores and their error bounds from float32 inner products, one element per column:
///   score_j = slope_j * (scale * sum_j) - offset_j,
///   |score_j - exact score_j| <= spread_scale * spread_j + floor_j.
struct ScoreTerms {
  AlignedVector<float> slope, offset, spread, floor;

  void resize(std::size_t columns);
};

/// Powers of two and error constants of euclidean_terms.
struct EuclideanScaling {
  float slope = 1.0f;         ///< slope_j per weight
  float contribution = 1.0f;  ///< offset_j is the square of this times weight times norm
  float floor_of_slope = 0.0f, floor_of_offset = 0.0f, floor = 0.0f;  ///< floor_j where weight > 0
};

/// Terms of theory.md (6), 2 <y_j, s> - |y_j|^2 with y_j = weights[j] v_j; norms[j] = |v_j|. A
/// weight of 0 has an exact score of 0.
void euclidean_terms(const float* weights, const float* norms, const EuclideanScaling& scaling,
                     std::size_t columns, ScoreTerms& terms);

/// Terms of <v_j, s> / |v_j|: inverse_norms[j] where the weight is above 0, else an exact score of
/// 0; floors[j] is the error where it is above 0.
void cosine_terms(const float* weights, const float* inverse_norms, const float* floors,
                  std::size_t columns, ScoreTerms& terms);

/// Bounds of the exact extreme scores.
struct ScoreExtremes {
  float selected_low, selected_high;      ///< the smallest score of S lies between
  float unselected_low, unselected_high;  ///< the largest score of T lies between
};

/// Intervals [low_j, high_j] that hold the exact scores, and what they say about the extremes.
ScoreExtremes bound_scores(const ScoreTerms& terms, const float* sums, float scale,
                           float spread_scale, const std::int32_t* rank, std::int32_t set_size,
                           std::size_t columns, float* low, float* high);

/// A closed range of scores.
struct ScoreRange {
  float from, to;
};

/// Columns of S whose interval meets `selected` and columns of T whose interval meets `unselected`,
/// increasing; `found` has room for a vector beyond the columns. Returns how many.
std::size_t collect_columns(const float* low, const float* high, const std::int32_t* rank,
                            std::int32_t set_size, std::size_t columns, ScoreRange selected,
                            ScoreRange unselected, std::uint32_t* found);

/// Numbers of columns for which a comparison surely or possibly holds.
struct CountBounds {
  std::size_t sure_contaminating = 0, possible_contaminating = 0;
  std::size_t sure_clear = 0, possible_clear = 0;
};

/// Columns of T with a score >= the smallest of S, which lies in `smallest`, and columns of S with
/// a score > the largest of T, which lies in `largest`.
CountBounds count_bounds(const float* low, const float* high, const std::int32_t* rank,
                         std::int32_t set_size, std::size_t columns, ScoreRange smallest,
                         ScoreRange largest);

/// Pairs (i, j) of a selected score and a column's with score_j >= score_i.
struct InversionBounds {
  std::uint64_t sure = 0;
  std::size_t open = 0;  ///< columns with pairs that may be some
};

/// The pairs that surely are inversions, and into `open` the columns, increasing, that have others
/// which may be; it has room for a vector beyond the columns. `ascending_high`
/// are the high ends of the selected intervals, sorted; least_low[k] is the smallest low end of the
/// k-th and later ones of these. Both are filled up with infinity to `selected`, a power of two,
/// and one more infinity follows least_low. Columns with an interval of -infinity count nothing.
InversionBounds bound_inversions(const float* ascending_high, const float* least_low,
                                 std::size_t selected, const float* low, const float* high,
                                 std::size_t columns, std::uint32_t* open);

/// Positions of the selected intervals that one column's interval leaves open; they are filled up
/// to a multiple of 16 with infinity, and `found` has room for a vector beyond them. Returns how
/// many.
std::size_t collect_open_pairs(const float* selected_low, const float* selected_high,
                               std::size_t selected, ScoreRange candidate, std::uint32_t* found);

}  // namespace toplens
