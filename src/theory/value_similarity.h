#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <toplens/array_view.h>

namespace toplens {

/// Norms and cosines of the values that one query sees: what theory.md (10) pools. An object for
/// one worker. No more than 128 rows of the cosine matrix are alive at a time.
class ValueSimilarity {
 public:
  /// A pair with a larger cosine is a near-duplicate (theory.md 3).
  static constexpr float kNearDuplicate = 0.999f;

  /// `values` [token, head_dim] are the visible ones; with `sink_visible` the first is the sink.
  void set_values(MatrixView<const float> values, bool sink_visible);

  std::size_t tokens() const { return norms_.size(); }
  std::span<const float> norms() const { return norms_; }
  /// v_i / |v_i|, zero where |v_i| is.
  MatrixView<const float> units() const { return {units_.data(), tokens(), dimension_}; }
  /// Mean cosine by lag, element k - 1 for lag k = 1 .. K, over all pairs without the sink and
  /// without zero norms; NaN where there is none.
  std::span<const float> lag_cosines() const { return lag_cosines_; }
  /// Mean cos(v_0, v_j), j >= 1; NaN without a visible sink of positive norm.
  float sink_cosine() const { return sink_cosine_; }
  /// Pairs (i, j), i < j, of near-duplicates, the sink among them.
  std::span<const std::pair<std::uint32_t, std::uint32_t>> near_duplicates() const {
    return near_duplicates_;
  }

 private:
  void normalise(MatrixView<const float> values);
  void walk_row(std::span<const float> cosines, std::size_t token, std::size_t first_token);
  void finish_means(std::size_t first_token);

  std::size_t dimension_ = 0;
  std::vector<float> norms_;
  std::vector<float> units_;
  std::vector<float> block_;
  std::vector<float> block_sums_;  // by lag, of one block of rows
  std::vector<double> lag_sums_;
  std::vector<float> lag_cosines_;
  float sink_cosine_ = 0.0f;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> near_duplicates_;
};

}  // namespace toplens
