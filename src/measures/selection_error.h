#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned_vector.h"
#include "kernels/value_products.h"

namespace toplens {

/// What leaving out all but the first N tokens of a ranking does to a head's output, exactly.
/// Every dropped set is summed by itself in float64, so that a small error is no difference of
/// large sums. Keeps scratch memory.
class SelectionErrors {
 public:
  /// `weights` over the visible tokens, the first of which is token `first` of `values`; `order`
  /// their ranking down to at least the largest set size; `set_sizes` increasing, each below the
  /// number of tokens.
  void measure(const ValueVectors& values, std::size_t first, std::span<const float> weights,
               std::span<const std::uint32_t> order, std::span<const int> set_sizes);

  /// |sum_i a_i v_i|
  double output_norm() const { return output_norm_; }
  /// theory.md (33): |e_delete| and |e_renormalise| of the n-th set size. Where the kept mass is 0
  /// renormalisation writes nothing: the whole output is the error.
  double deletion_error(std::size_t n) const { return results_[n].deletion; }
  double renormalisation_error(std::size_t n) const { return results_[n].renormalisation; }
  /// theory.md (35); NaN where all dropped contributions are zero.
  double dropped_coherence(std::size_t n) const { return results_[n].coherence; }
  /// s_N of the n-th set size, padded with zeros.
  std::span<const double> aggregate(std::size_t n) const;

 private:
  struct Result {
    double deletion = 0.0, renormalisation = 0.0, coherence = 0.0;
  };

  std::size_t dimension_ = 0;
  double output_norm_ = 0.0;
  std::vector<Result> results_;
  std::vector<std::uint8_t> kept_;
  std::vector<std::uint32_t> rest_;
  AlignedVector<double> weights_;
  AlignedVector<double> slices_;  ///< [set sizes + 1, dimension]: sums of y between two set sizes
  AlignedVector<double> kept_sums_;
  std::vector<double> masses_, squares_;  ///< of the slices: sum of a, sum of |y|^2
  AlignedVector<double> dropped_, difference_;
};

}  // namespace toplens
