#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <toplens/array_view.h>

#include "base/aligned_vector.h"
#include "geometry/bounded_separation.h"
#include "geometry/gram_walk.h"
#include "geometry/separability.h"
#include "kernels/separation.h"
#include "selection/ranking.h"

namespace toplens {

/// How the counts are had; they are the same.
enum class WalkMethod {
  gram,       ///< GramWalk: float64; cheaper where nearly every set size up to a few hundred counts
  aggregate,  ///< BoundedSeparation: products with the aggregates of the set sizes wanted
};

/// One query of one head, and which of its rankings are wanted.
struct GeometryQuery {
  std::uint64_t document = 0;  ///< identity of the document for the random rankings
  int layer = 0;
  int query_head = 0;
  int query = 0;          ///< position of the query; sees first_visible .. query
  int first_visible = 0;  ///< first token in the window
  bool with_random = true;
};

/// Measures the selections of theory.md 2 for one query after the other over the values of one kv
/// head, with the counts of float64. An object for one worker: it keeps the values and scratch
/// memory.
class HeadGeometry {
 public:
  /// `method` is chosen by cost where not given; results agree to rounding.
  explicit HeadGeometry(GeometryOptions options, std::optional<WalkMethod> method = std::nullopt);

  /// The values [token, head_dim] of one kv head and the model's window (0: none).
  /// `plain_queries` and `random_queries` say how many queries over all query heads will be
  /// measured on them, without and with random rankings: that decides the method alone.
  void set_values(MatrixView<const float> values, int window, int plain_queries,
                  int random_queries);

  /// Number of results of one query and the place of one: [ranking][distance][set_size], in the
  /// order of the options.
  std::size_t num_results() const;
  std::size_t index(std::size_t ranking, std::size_t distance, std::size_t set_size) const;

  /// `attention` over the visible tokens (query.query - query.first_visible + 1 of them, finite,
  /// >= 0) against the values; writes num_results() elements. Random results are means over the
  /// repeats. Undefined where a set size is not below the number of visible tokens, and for random
  /// where not wanted.
  void measure(const GeometryQuery& query, std::span<const float> attention,
               std::span<Separability> results);

  const GeometryOptions& options() const { return options_; }
  const BoundedSeparation::Statistics& statistics() const { return bounded_.statistics(); }

  /// Memory for values [tokens, head_dim] and so many queries (as in set_values()).
  std::uint64_t bytes(std::size_t tokens, std::size_t head_dim, int plain_queries,
                      int random_queries) const;

 private:
  WalkMethod method_for(std::size_t tokens, std::size_t head_dim, int plain_queries,
                        int random_queries) const;
  void prepare(const GeometryQuery& query, std::span<const float> attention);
  void walk(std::span<const std::uint32_t> order, std::size_t ranking,
            std::span<Separability> results);
  void walk_on_gram(std::span<const std::uint32_t> order, std::size_t ranking,
                    std::span<Separability> results);
  void walk_on_aggregates(std::span<const std::uint32_t> order, std::size_t ranking,
                          std::span<Separability> results);
  Separability separability(Distance distance, const SeparationCounts& counts, std::size_t set_size,
                            double squared_norm, bool inversions) const;

  GeometryOptions options_;
  std::optional<WalkMethod> given_method_;
  WalkMethod method_ = WalkMethod::aggregate;
  bool has_cosine_ = false;
  bool has_contributions_ = false;           // a ranking or distance asks for them
  std::vector<std::size_t> sorted_sizes_;    // increasing
  std::vector<std::size_t> size_positions_;  // place of each in options_.set_sizes
  TokenRanker ranker_;
  BoundedSeparation bounded_;
  GramWalk gram_;
  SeparationCounter counter_;
  AlignedVector<double> squared_norms_, norms_, inverse_norms_;  // of all tokens

  // Of the current query, over its visible tokens, padded to a multiple of 8.
  std::size_t first_visible_ = 0;
  std::size_t visible_ = 0;
  std::size_t defined_sizes_ = 0;             // of sorted_sizes_
  AlignedVector<double> weights_;             // a_i
  AlignedVector<double> contribution_norms_;  // w_i = a_i |v_i|
  AlignedVector<double> cosine_factors_;      // 1 / |v_i|, 0 where the cosine is 0 by definition
  AlignedVector<double> scores_;
};

}  // namespace toplens
