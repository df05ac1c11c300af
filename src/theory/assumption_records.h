#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <toplens/array_view.h>

#include "selection/ranking.h"

namespace toplens {

/// How the records of one run are laid out. Cosines with an aggregate are kept by rank:
/// of all selected tokens, of the competitors of theory.md (11), and of a sample of the other
/// tokens.
struct AssumptionLayout {
  /// Tokens of T that stand for all of T, evenly spaced by rank.
  static constexpr std::size_t kSampledOthers = 32;
  static constexpr std::size_t kLeastCompetitors = 16;
  static constexpr std::size_t kMostLags = 512;

  std::size_t length = 0;         ///< tokens of a document
  std::vector<Ranking> rankings;  ///< of a random ranking the first repeat
  std::vector<int> set_sizes;     ///< increasing, all below length
  std::uint64_t seed = 2027;      ///< of the random rankings

  /// Room for lags, at least 1.
  std::size_t lags() const { return std::max<std::size_t>(1, lags(length)); }
  /// K of theory.md (10) for so many visible tokens.
  static std::size_t lags(std::size_t visible) {
    const std::size_t half = visible > 0 ? (visible - 1) / 2 : 0;
    return half < kMostLags ? half : kMostLags;
  }
  std::size_t set_size(std::size_t n) const { return static_cast<std::size_t>(set_sizes[n]); }

  /// Tokens of the lists at one set size, for `visible` > N tokens.
  static std::size_t competitors(std::size_t set_size, std::size_t visible);
  static std::size_t sampled_others(std::size_t set_size, std::size_t visible);
  /// Rank of the k-th of `count` sampled tokens of T.
  static std::size_t sampled_rank(std::size_t set_size, std::size_t visible, std::size_t count,
                                  std::size_t k) {
    return set_size + (2 * k + 1) * (visible - set_size) / (2 * count);
  }

  /// Places of the lists of all set sizes together, at least 1, and where those of the n-th begin.
  std::size_t selected_places() const {
    return std::max<std::size_t>(1, selected_offset(set_sizes.size()));
  }
  std::size_t competitor_places() const {
    return std::max<std::size_t>(1, competitor_offset(set_sizes.size()));
  }
  std::size_t other_places() const {
    return std::max<std::size_t>(1, other_offset(set_sizes.size()));
  }
  std::size_t selected_offset(std::size_t n) const;
  std::size_t competitor_offset(std::size_t n) const;
  std::size_t other_offset(std::size_t n) const;
};

/// `sizes` that a document of `length` tokens defines, increasing.
std::vector<int> defined_set_sizes(std::span<const int> sizes, std::size_t length);

struct RecordedShape {
  std::size_t documents = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0;
  std::size_t first_layer = 0;  ///< the model's number of the first recorded layer
  AssumptionLayout layout;

  std::size_t kv_head_of(std::size_t head) const { return head / (heads / kv_heads); }
};

/// What every finished document leaves of every head for theory.md sections 3 to 6: the final query
/// and the values. NaN where not defined: a zero norm, or a set size not below the visible tokens.
template <template <typename> class Array>
struct AssumptionFields {
  RecordedShape shape;
  Array<std::int32_t> first_visible;  ///< [layer]: 0 where the sink is visible

  Array<float> weights;      ///< [document, layer, head, token], a_i; 0 where not visible
  Array<float> value_norms;  ///< [document, layer, kv_head, token], |v_i|
  /// [document, layer, kv_head, lag]: mean cosine of the values that stand k = 1 .. K apart, both
  /// visible and not the sink, all such pairs.
  Array<float> lag_cosines;
  Array<float> sink_cosines;     ///< [document, layer, kv_head], mean cos(v_0, v_j), j >= 1
  Array<float> effective_ranks;  ///< [document, layer, kv_head], of the visible values

  // [document, layer, head, ranking, set_size]
  Array<double> aggregate_norms;  ///< |s_N|
  /// cos(v_0, s - y_0) with y_0 only where the sink is selected, and the norm of that aggregate.
  Array<float> sink_aggregate_cosines;
  Array<double> sink_aggregate_norms;
  Array<float> near_duplicates;  ///< share of T with cosine > 0.999 to some selected value

  // [document, layer, head, ranking, place]: <v_j, s> / (|v_j| |s|), by rank
  Array<float> selected_cosines;
  Array<float> competitor_cosines;
  Array<float> other_cosines;
};

template <typename T>
using OwnedArray = std::vector<T>;
template <typename T>
using ConstArray = std::span<const T>;

using AssumptionRecords = AssumptionFields<OwnedArray>;

/// All elements of the size that the shape asks for, NaN (weights and first_visible 0).
AssumptionRecords make_assumption_records(const RecordedShape& shape);
/// Bytes of the records of one document.
std::uint64_t bytes_per_document(const RecordedShape& shape);

/// One set size and ranking of one document's head.
struct SizeRecord {
  std::size_t set_size = 0;
  double aggregate_norm = 0.0;
  double sink_cosine = 0.0;
  double sink_aggregate_norm = 0.0;
  double near_duplicates = 0.0;
  std::span<const float> selected;     ///< ranks 0 .. N - 1
  std::span<const float> competitors;  ///< ranks N ..
  std::span<const float> others;       ///< AssumptionLayout::sampled_rank
};

/// Records as they lie in memory or in a dataset, by document, layer and head.
struct AssumptionView : AssumptionFields<ConstArray> {
  std::size_t first_token(std::size_t layer) const {
    return static_cast<std::size_t>(first_visible[layer]);
  }
  std::size_t visible(std::size_t layer) const { return shape.layout.length - first_token(layer); }
  bool sink_visible(std::size_t layer) const { return first_token(layer) == 0; }
  /// Set sizes below the visible tokens: the first so many of the layout.
  std::size_t defined_sizes(std::size_t layer) const;

  /// Over the visible tokens.
  std::span<const float> weights_of(std::size_t document, std::size_t layer,
                                    std::size_t head) const;
  std::span<const float> norms_of(std::size_t document, std::size_t layer,
                                  std::size_t kv_head) const;
  /// Lags 1 .. K of the visible tokens.
  std::span<const float> lag_cosines_of(std::size_t document, std::size_t layer,
                                        std::size_t kv_head) const;
  std::size_t kv_index(std::size_t document, std::size_t layer, std::size_t kv_head) const {
    return (document * shape.layers + layer) * shape.kv_heads + kv_head;
  }
  /// `n` below defined_sizes(layer); `ranking` indexes the layout's.
  SizeRecord size_of(std::size_t document, std::size_t layer, std::size_t head, std::size_t ranking,
                     std::size_t n) const;
};

AssumptionView view_of(const AssumptionRecords& records);

/// w_i = a_i |v_i| in float64 of the recorded weights and norms.
void recorded_contributions(std::span<const float> weights, std::span<const float> norms,
                            std::vector<double>& contributions);

/// Orders all visible tokens as the records have them. Indices into the visible range, valid until
/// the ranker's next call. `document` is the document's identity, its number in the run.
std::span<const std::uint32_t> recorded_order(TokenRanker& ranker, const AssumptionLayout& layout,
                                              Ranking ranking, std::uint64_t document,
                                              std::size_t layer, std::size_t head,
                                              std::size_t first_visible,
                                              std::span<const float> weights,
                                              std::span<const double> contributions);

}  // namespace toplens
