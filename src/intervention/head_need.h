#pragma once

#include <vector>

#include "intervention/treated_loss.h"

namespace toplens {

/// What the geometry of a head says about the tokens it needs, at the final query, over documents.
struct HeadNeed {
  double selectivity = 0;  ///< theory.md 8: 1 - log n_eff / log(L-1), n_eff a geometric mean
  double small_f = 0;      ///< theory.md 8: mean F_N over N in {2,3,4}, attention, Euclidean

  /// 1 + n_eff (2 - F): the sink, and as many tokens as the head attends to in effect, up to twice
  /// that where they do not separate. Meant as a proportion only.
  double tokens(int num_visible) const;
};

/// [layer * query_heads + head], of an untreated pass over the windows (at least 6 tokens each).
std::vector<HeadNeed> measure_head_needs(ModelSession& session,
                                         std::span<const ScoredWindow> windows);

}  // namespace toplens
