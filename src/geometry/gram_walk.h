#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <toplens/array_view.h>

#include "base/aligned_vector.h"
#include "kernels/gram.h"

namespace toplens {

/// The walk down a ranking in float64, theory.md (7): the Gram matrix once, then one axpy over the
/// tokens for each rank. What token j gets depends on v_j alone, not on where j stands, so tokens
/// with the same value tie exactly.
class GramWalk {
 public:
  /// Takes over what it needs of `values` [token, dimension]. The window is the model's (0: none).
  void set_values(MatrixView<const float> values, std::size_t window);

  const VectorPanels& values() const { return panels_; }

  /// Begins at N = 0. `order` are indices into the visible range that starts at token
  /// `first_visible`, highest rank first; weights[i] is the attention of the range's token i, with
  /// room up to a multiple of 8. Both must live until the last advance().
  void start(std::size_t first_visible, std::size_t visible, std::span<const std::uint32_t> order,
             const double* weights);

  /// <v_j, s_N> with N = set_size for the visible tokens j, padded to a multiple of 8. Sizes
  /// increase from one call to the next. Valid until the next call.
  std::span<const double> advance(std::size_t set_size);

  /// Memory for values [tokens, head_dim].
  static std::uint64_t bytes(std::size_t tokens, std::size_t head_dim);

 private:
  VectorPanels panels_;
  GramMatrix gram_;
  std::size_t first_visible_ = 0;
  std::span<const std::uint32_t> order_;
  const double* weights_ = nullptr;
  std::size_t walked_ = 0;         // N so far
  AlignedVector<double> running_;  // <v_j, s_N>
};

}  // namespace toplens
