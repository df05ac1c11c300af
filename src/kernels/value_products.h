#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <toplens/array_view.h>

#include "base/aligned_vector.h"

namespace toplens {

/// Value vectors of one panel: a whole number of float32 vectors on every target.
inline constexpr std::size_t kValueColumns = 64;

inline std::size_t padded_to_value_columns(std::size_t n) {
  return (n + kValueColumns - 1) / kValueColumns * kValueColumns;
}

/// Value vectors of one kv head in the two forms that the kernels below read: row by row as they
/// came, and 64 to a panel, transposed and scaled by a power of two so that the longest vector has
/// a norm of about 1. Rows are padded with zeros to a multiple of 8 components.
class ValueVectors {
 public:
  void assign(MatrixView<const float> values);

  std::size_t count() const { return count_; }
  std::size_t dimension() const { return dimension_; }
  std::size_t padded_dimension() const { return (dimension_ + 7) / 8 * 8; }
  const float* row(std::size_t i) const { return rows_.data() + i * padded_dimension(); }
  const float* panel(std::size_t p) const {
    return panels_.data() + p * dimension_ * kValueColumns;
  }
  /// <v_i, v_i> in float64.
  std::span<const double> squared_norms() const { return squared_norms_; }
  /// Panels hold 2^panel_exponent() v_i.
  int panel_exponent() const { return panel_exponent_; }

  static std::uint64_t bytes(std::size_t count, std::size_t dimension) {
    return 8 * std::uint64_t{count + kValueColumns} * (dimension + 8);
  }

 private:
  std::size_t count_ = 0;
  std::size_t dimension_ = 0;
  int panel_exponent_ = 0;
  AlignedVector<float> rows_;
  AlignedVector<float> panels_;
  AlignedVector<double> squared_norms_;
};

/// aggregate += sum of weights[k] v_{first + k} over the tokens k of `order`, in float64;
/// `aggregate` has padded_dimension() components.
void add_weighted_values(const ValueVectors& values, std::size_t first,
                         std::span<const std::uint32_t> order, const double* weights,
                         double* aggregate);

/// <v_i, aggregate> in float64, for every token with the same arithmetic: equal value vectors give
/// equal bits.
double value_product(const ValueVectors& values, std::size_t i, const double* aggregate);

/// |x|^2, and x times `scale` rounded to float32. The length is a multiple of 8.
double squared_length(std::span<const double> x);
void scale_to_float(std::span<const double> x, double scale, float* out);

/// out(r, j) = <row r of aggregates, panel vector j>, r < aggregates.rows(), j < 64, each a chain
/// of float32 multiply-adds in the order of the dimension.
void panel_products(MatrixView<const float> aggregates, const float* panel, float* out,
                    std::size_t out_stride);

}  // namespace toplens
