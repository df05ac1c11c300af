#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include <toplens/array_view.h>

#include "base/aligned_vector.h"

namespace toplens {

/// Rows of queries that the kernels compute at once. Matrices of queries, attention rows and
/// outputs that are handed to them have room for a multiple of it; rows past the last query are
/// read and written, their contents are arbitrary.
inline constexpr std::size_t kAttentionRows = 12;
inline constexpr std::size_t padded_attention_rows(std::size_t queries) {
  return (queries + kAttentionRows - 1) / kAttentionRows * kAttentionRows;
}

/// A float32 matrix [depth, columns], cut into panels of 32 columns; panel p lies as [depth][32],
/// so that SIMD lanes run over columns and a product reads it in one stream. Keys are packed with a
/// token for each column, values with a token for each depth.
class PackedColumns {
 public:
  static constexpr std::size_t kPanel = 32;

  /// Room for a matrix whose elements are then set one row or one column after the other; columns
  /// that fill up the last panel are 0.
  void reset(std::size_t depth, std::size_t columns);
  void set_row(std::size_t i, std::span<const float> values);
  void set_column(std::size_t j, std::span<const float> values);

  std::size_t depth() const { return depth_; }
  std::size_t columns() const { return columns_; }
  const float* panel(std::size_t p) const { return data_.data() + p * depth_ * kPanel; }
  /// Floats that hold a [depth, columns] matrix.
  static constexpr std::size_t size(std::size_t depth, std::size_t columns) {
    return (columns + kPanel - 1) / kPanel * kPanel * depth;
  }

 private:
  std::size_t depth_ = 0;
  std::size_t columns_ = 0;
  AlignedVector<float> data_;
};

/// Consecutive queries of one head: row r belongs to the query at position first_query + r, which
/// sees itself and the window - 1 tokens before it, or all of them where window is 0.
struct QueryRows {
  std::size_t first_query = 0;
  std::size_t count = 0;
  std::size_t window = 0;

  std::size_t visible_begin(std::size_t r) const {
    const std::size_t end = visible_end(r);
    return window > 0 && end > window ? end - window : 0;
  }
  std::size_t visible_end(std::size_t r) const { return first_query + r + 1; }
};

/// Distance in floats between the attention rows of a lane of `length` tokens: whole panels, and a
/// cache line more so that rows do not share cache sets.
inline constexpr std::size_t attention_row_stride(std::size_t length) {
  return (length + PackedColumns::kPanel - 1) / PackedColumns::kPanel * PackedColumns::kPanel + 16;
}
/// The same for rows of head outputs.
inline constexpr std::size_t head_output_stride(std::size_t head_dim) {
  return (head_dim + 15) / 16 * 16;
}

struct ScoreScale {
  float scale = 1.0f;
  float softcap = 0.0f;  ///< 0: none
};

/// rows(r, k) = scale * <query r, key k>, through softcap * tanh(. / softcap) where there is one,
/// for the visible tokens k, and the softmax over them; 0 for all others. `queries` is [rows,
/// head_dim], `keys` [head_dim, length]; `rows` begins on a cache line, with
/// attention_row_stride(length) between rows. Returns how many rows it finished: less than the
/// count where the scaled scores of that row hold infinity or NaN.
///
/// A score is one chain of fused multiply-adds over head_dim, and a row's sum is taken by the
/// tokens' positions: a row depends on its own query and what it sees, not on its neighbours.
[[nodiscard]] std::size_t attention_rows(const QueryRows& block, MatrixView<const float> queries,
                                         const PackedColumns& keys, ScoreScale scale,
                                         MatrixView<float> rows);

/// out(r, c) = sum over k of rows(r, k) * values(k, c). `rows` is 0 outside what each query sees,
/// else arbitrary, finite and laid out as above; `values` is [length, head_dim] and finite; `out`
/// has rows of head_output_stride(head_dim). The sum is taken over 256 tokens at a time, cut by
/// position.
void weighted_value_sums(const QueryRows& block, MatrixView<const float> rows,
                         const PackedColumns& values, MatrixView<float> out);

/// exp(x) for x <= 0 as attention_rows computes it: relative error below 2e-7 down to -87, 0 below.
/// In place.
void exponentials(std::span<float> values);

}  // namespace toplens
