#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <toplens/array_view.h>

#include "base/aligned_vector.h"
#include "kernels/gram.h"

namespace toplens {

/// How the inner products <v_j, s_N> are had; the results agree to rounding.
enum class WalkMethod {
  gram,       ///< theory.md (7): the Gram matrix once, then one axpy over the tokens for each rank
  aggregate,  ///< products with the aggregates s_N themselves, one row for each set size
};

/// The walk down a ranking: for nested selections S_N, the inner products of s_N with every visible
/// value. In both methods what token j gets depends on v_j alone, not on where j stands, so tokens
/// with the same value tie exactly.
class AggregateWalk {
 public:
  /// Most set sizes of one advance().
  static constexpr std::size_t kMaxSizes = kPanelColumns;

  /// Takes over what it needs of `values` [token, dimension]. The window is the model's (0: none).
  void set_values(MatrixView<const float> values, std::size_t window, WalkMethod method);

  const VectorPanels& values() const { return panels_; }

  /// Begins at N = 0. `order` are indices into the visible range that starts at token
  /// `first_visible`, highest rank first; weights[i] is the attention of the range's token i, with
  /// room up to a multiple of 8. Both must live until the last advance().
  void start(std::size_t first_visible, std::size_t visible, std::span<const std::uint32_t> order,
             const double* weights);

  /// Row n holds <v_j, s_N> with N = set_sizes[n] for the visible tokens j and up to 7 meaningless
  /// elements after them. Sizes increase, also from one call to the next; at most kMaxSizes of
  /// them, none larger than the order. Valid until the next call.
  MatrixView<const double> advance(std::span<const std::size_t> set_sizes);

 private:
  void advance_on_gram(std::span<const std::size_t> set_sizes);
  void advance_on_aggregates(std::span<const std::size_t> set_sizes);

  VectorPanels panels_;
  WalkMethod method_ = WalkMethod::gram;
  std::vector<float> rows_;  // the values as they came, for the aggregates
  GramMatrix gram_;
  std::size_t first_visible_ = 0;
  std::size_t visible_ = 0;
  std::span<const std::uint32_t> order_;
  const double* weights_ = nullptr;
  std::size_t walked_ = 0;          // N so far
  std::vector<double> aggregate_;   // s_N
  AlignedVector<double> running_;   // <v_j, s_N>
  VectorPanels aggregates_;         // s_N of the sizes of one advance
  AlignedVector<double> products_;  // [size, token]
  std::size_t products_stride_ = 0;
};

}  // namespace toplens
