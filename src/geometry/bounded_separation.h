#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <toplens/array_view.h>

#include "base/aligned_vector.h"
#include "geometry/separability.h"
#include "kernels/integer_products.h"
#include "kernels/score_bounds.h"
#include "kernels/separation.h"
#include "kernels/sort_ascending.h"
#include "kernels/value_products.h"

namespace toplens {

/// One query's weights as geometry wants them; arrays are over its visible tokens.
struct WeightedQuery {
  std::size_t first_visible = 0;
  std::span<const float> attention;       ///< a_i
  const double* weights = nullptr;        ///< a_i in float64
  const double* inverse_norms = nullptr;  ///< 1 / |v_i|, 0 where the cosine is 0 by definition
};

/// The counts of theory.md (1)-(5) as float64 gives them, mostly by less: inner products with the
/// aggregates s_N are sums of 16-bit integers or float32 chains with a proven bound on their error,
/// and what the bound leaves open is decided by the float64 inner products of the tokens concerned
/// (docs/numerics.md). The extreme scores are always float64.
class BoundedSeparation {
 public:
  /// Most set sizes of one selections().
  static constexpr std::size_t kMaxSizes = 32;

  struct Statistics {
    std::uint64_t cells = 0;
    std::uint64_t undecided_cells = 0;  ///< bounds did not settle all counts
    std::uint64_t integer_cells = 0;    ///< of integer products that float32 did not have to refine
    std::uint64_t float64_products = 0;  ///< tokens whose inner product float64 computed
  };

  /// Whether integers look first where they may: by default where they are fast.
  explicit BoundedSeparation(bool with_integers = IntegerValues::is_fast())
      : with_integers_(with_integers) {}

  void set_values(MatrixView<const float> values);
  const ValueVectors& values() const { return values_; }

  /// The arrays must live until the last count().
  void set_query(const WeightedQuery& query, std::span<const Distance> distances);

  /// The walk down a ranking begins. `order` are indices into the visible range, highest first; it
  /// must live until the last count().
  void start(std::span<const std::uint32_t> order);
  /// The selections that count() is about: the first set_sizes[n] of the order. Sizes increase,
  /// also from one call to the next; at most kMaxSizes of them. Inversions are what integer
  /// products leave open, so these are not used `for_inversions`.
  void select(std::span<const std::size_t> set_sizes, bool for_inversions);

  /// |s|^2 of selection n.
  double squared_norm(std::size_t n) const { return squared_norms_[n]; }
  /// Scores are g for the Euclidean distance and the cosine times |s| for the other. Without
  /// inversions that count stays 0.
  SeparationCounts count(std::size_t n, Distance distance, bool with_inversions);

  const Statistics& statistics() const { return statistics_; }
  /// Memory for values [tokens, head_dim].
  static std::uint64_t bytes(std::size_t tokens, std::size_t head_dim);

 private:
  /// One distance at the current query.
  struct Scores {
    ScoreTerms terms;
    int exponent = 0;  ///< float32 scores are the exact ones times 2 to this
    float scale = 1.0f;
    float spread_scale = 0.0f;
  };

  void find_duplicates();
  void multiply_integers();
  void multiply_floats(std::size_t first, std::size_t count);
  void set_scaling(std::size_t n, Distance distance);
  bool is_selected(std::uint32_t column) const { return rank_[column] < set_size_; }
  double exact_score(std::uint32_t column, Distance distance);
  std::uint64_t count_inversions(Distance distance);

  ValueVectors values_;
  IntegerValues integers_;
  bool with_integers_;
  bool has_integers_ = false;
  std::vector<std::uint32_t> first_equal_;  // of each token: the first token of the same value
  AlignedVector<float> norms_, inverse_norms_, cosine_floors_;  // of panel vectors, padded

  // Of the current query. Columns are tokens from the first panel on that it sees.
  WeightedQuery query_;
  std::size_t first_column_ = 0;  // token of column 0
  std::size_t begin_ = 0;         // column of the first visible token
  std::size_t columns_ = 0;
  AlignedVector<float> column_weights_;
  int slope_exponent_ = 0;
  Scores euclidean_, cosine_;

  // Of the current order.
  std::span<const std::uint32_t> order_;
  AlignedVector<std::int32_t> rank_;
  AlignedVector<double> running_;  // s_N so far
  std::size_t walked_ = 0;
  std::vector<std::size_t> set_sizes_;
  AlignedVector<double> aggregates_;                // [size, padded dimension]
  std::vector<double> squared_norms_;               // of them
  std::vector<int> aggregate_exponents_;            // float32 aggregates are s_N times 2 to this
  AlignedVector<float> float_aggregates_;           // [size, padded dimension]
  AlignedVector<std::int16_t> integer_aggregates_;  // [size, padded dimension]
  AlignedVector<float> integer_units_;              // of float_aggregates_ by them
  std::vector<double> product_errors_;              // of sums_, over |v_j| |s|
  std::vector<bool> is_coarse_;                     // sums_ are of integers
  AlignedVector<float> sums_;                       // [size, column]
  std::size_t sums_stride_ = 0;

  // Of the current cell.
  std::int32_t set_size_ = 0;
  const double* aggregate_ = nullptr;
  AlignedVector<float> low_, high_;
  AlignedVector<std::uint32_t> found_;
  AlignedVector<float> selected_low_, selected_high_, ascending_high_, least_low_;
  FloatSorter sorter_;
  AlignedVector<std::uint32_t> candidates_;
  std::vector<double> products_;               // by first_equal_
  std::vector<std::uint64_t> product_stamps_;  // selection for which that holds
  std::uint64_t stamp_ = 0;

  Statistics statistics_;
};

}  // namespace toplens
