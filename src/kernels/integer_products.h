#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/aligned_vector.h"
#include "kernels/value_products.h"

namespace toplens {

/// A vector as 16-bit integers: x = unit * (integers + rest) with |rest| <= error.
struct IntegerForm {
  double unit = 0.0;
  double error = 0.0;
};

/// Value vectors of one kv head as 16-bit integers, for a first look at their inner products:
/// exact sums of what rounding to 15 bits leaves of the vectors, faster than float32 where the
/// processor multiplies and adds pairs of such integers.
class IntegerValues {
 public:
  /// Whether this one does (AVX-512 VNNI), and no lower SIMD level is forced. Asks the processor:
  /// not for inner loops.
  static bool is_fast();

  /// Takes the panel vectors over. False, and nothing else may be called, where one is too short
  /// for a float32 unit.
  bool assign(const ValueVectors& values);

  /// IntegerForm::error of the vector where it is largest.
  double error() const { return error_; }
  /// out(r, j) = row_units[r] * unit of j * <row r, vector j> for the 64 vectors j of panel p,
  /// rounded three times to float32. Rows are `stride` integers apart.
  void panel_products(std::size_t p, const std::int16_t* rows, std::size_t count,
                      std::size_t stride, const float* row_units, float* out,
                      std::size_t out_stride) const;

  static std::uint64_t bytes(std::size_t count, std::size_t dimension) {
    return 2 * std::uint64_t{count + kValueColumns} * (dimension + 3);
  }

 private:
  bool fast_ = false;
  std::size_t pairs_ = 0;  // of dimensions; an odd last one is filled up with 0
  double error_ = 0.0;
  AlignedVector<std::int32_t> panels_;  // [panel, pair, 64], a pair of integers each
  AlignedVector<float> units_;          // padded to whole panels
};

/// The integers, 32767 in length, of a vector of `length` > 0. x has a multiple of 8 components,
/// out room for as many.
IntegerForm to_integers(std::span<const double> x, double length, std::int16_t* out);

/// Bound on |unit <v, s> as integers - <v, s>| over |v| |s| for vectors of these errors.
double relative_integer_error(double value_error, double aggregate_error);

}  // namespace toplens
