#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <toplens/array_view.h>
#include <toplens/observer.h>

#include "geometry/head_geometry.h"
#include "kernels/value_products.h"
#include "measures/measure_table.h"
#include "measures/selection_error.h"
#include "measures/signature_reason.h"
#include "selection/ranking.h"
#include "statistics/effective_rank.h"

namespace toplens {

/// Of one query, NaN where not defined.
struct QueryMeasures {
  SignatureReason reason = SignatureReason::defined;
  std::array<double, kNumMeasures> values{};
  /// [set_size][SizeMeasure], the errors relative to the norm of the head output.
  std::vector<std::array<double, kNumSizeMeasures>> by_size;

  double& operator[](Measure measure) { return values[index_of(measure)]; }
  double operator[](Measure measure) const { return values[index_of(measure)]; }
};

/// Conditions of a signature (theory.md 8).
struct SignatureConditions {
  int least_visible = 16;
  double least_other_mass = 1e-6;
};

/// The signature and the measures of others for one query after the other over the values of one kv
/// head. An object for one worker: it keeps the values and scratch memory.
class HeadMeasures {
 public:
  /// Set sizes increasing.
  HeadMeasures(std::vector<int> set_sizes, const SignatureConditions& conditions);

  /// The values of one kv head, [token, head_dim], as `view` has them; `queries` of all its query
  /// heads together will be measured on them.
  void set_values(const HeadView& view, int queries, bool with_effective_rank);

  /// Means over the values that the final query sees: c, |v_0| / c, mean cos(v_0, v_j), and the
  /// values' effective rank where it was asked for; the others are NaN.
  const QueryMeasures& of_values() const { return of_values_; }

  /// What depends on the query, given its attention weights over all tokens of the lane. The result
  /// is valid until the next call.
  const QueryMeasures& measure(const HeadView& view, int query, std::span<const float> attention);

  EffectiveRank& effective_rank() { return rank_; }

  static std::uint64_t bytes(std::size_t length, std::size_t head_dim, int queries);

 private:
  void measure_masses(int query, std::size_t first, std::span<const float> weights);
  void measure_signature(const HeadView& view, int query, std::size_t first,
                         std::span<const float> weights);
  void measure_output(std::size_t first, std::span<const float> weights);

  std::vector<int> set_sizes_;
  SignatureConditions conditions_;
  std::vector<int> walked_sizes_;            ///< 4 and the set sizes, increasing
  std::vector<std::size_t> size_positions_;  ///< of the set sizes in them
  std::size_t fourth_position_ = 0;
  HeadGeometry geometry_;
  ValueVectors values_;
  SelectionErrors errors_;
  EffectiveRank rank_;
  TokenRanker ranker_;
  std::vector<Separability> separabilities_;
  QueryMeasures of_values_, of_query_;
  bool zero_values_ = false;
  std::vector<double> sink_;  ///< v_0, padded
};

}  // namespace toplens
