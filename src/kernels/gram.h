#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <toplens/array_view.h>

#include "base/aligned_vector.h"

namespace toplens {

/// Columns of one panel: a whole number of vectors on every target.
inline constexpr std::size_t kPanelColumns = 32;
/// Vector lanes of doubles never exceed this; arrays for the kernels are padded to a multiple.
inline constexpr std::size_t kLaneBlock = 8;

inline std::size_t padded_to_lanes(std::size_t n) {
  return (n + kLaneBlock - 1) / kLaneBlock * kLaneBlock;
}

/// Vectors of one dimension in float64, 32 to a panel, transposed: panel p holds [dimension][32],
/// so that a SIMD lane is a vector's index. Unused columns of the last panel are 0.
class VectorPanels {
 public:
  void assign(MatrixView<const float> vectors);
  /// Room for `count` vectors, all 0.
  void reset(std::size_t count, std::size_t dimension);

  std::size_t count() const { return count_; }
  std::size_t dimension() const { return dimension_; }
  std::size_t panels() const { return (count_ + kPanelColumns - 1) / kPanelColumns; }
  const double* panel(std::size_t p) const { return data_.data() + p * panel_size(); }
  /// Component c of vector i.
  double& operator()(std::size_t i, std::size_t c) {
    return data_[i / kPanelColumns * panel_size() + c * kPanelColumns + i % kPanelColumns];
  }
  double operator()(std::size_t i, std::size_t c) const {
    return data_[i / kPanelColumns * panel_size() + c * kPanelColumns + i % kPanelColumns];
  }

 private:
  std::size_t panel_size() const { return dimension_ * kPanelColumns; }
  std::size_t count_ = 0;
  std::size_t dimension_ = 0;
  AlignedVector<double> data_;
};

/// out(r, j) = <left vector r, right vector j> for the first `rows` (1 to 32) vectors of the left
/// panel and all 32 of the right one. Every element is one chain of multiply-adds in the order of
/// the dimension, wherever it stands: equal vectors give equal bits, and so do (r, j) and (j, r).
void panel_products(const double* left, std::size_t rows, const double* right,
                    std::size_t dimension, double* out, std::size_t out_stride);

/// The Gram matrix of theory.md (7), G_jk = <v_j, v_k>, rows padded so that a kernel may read 8
/// columns beyond the last token. With a window > 0 elements of tokens that no query sees together
/// (|j - k| >= window) are not computed where whole tiles of them can be left out.
class GramMatrix {
 public:
  void assign(const VectorPanels& values, std::size_t window);
  MatrixView<const double> view() const { return {data_.data(), tokens_, tokens_, stride_}; }

 private:
  std::size_t tokens_ = 0;
  std::size_t stride_ = 0;
  AlignedVector<double> data_;
};

/// <v_j, v_j> of every vector into out, the same chain and hence the same bits as in
/// panel_products.
void squared_norms(const VectorPanels& vectors, std::span<double> out);

/// sums[j] += weight_k * G(first + k, first + j) for the tokens k of `order`, one multiply-add
/// after the other in that order, j in [0, columns); columns is a multiple of 8. One step of
/// theory.md (7) for each token; weights has one for every column, order indexes it.
void accumulate_rows(MatrixView<const double> gram, std::size_t first,
                     std::span<const std::uint32_t> order, const double* weights,
                     std::size_t columns, double* sums);

}  // namespace toplens
