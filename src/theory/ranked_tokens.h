#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned_vector.h"
#include "theory/parameters.h"

namespace toplens {

/// The visible tokens of one query in one ranking. S_N are the first N of the order.
struct RankedTokens {
  std::span<const double> contributions;  ///< w_i = a_i |v_i|, by place in the visible range
  std::span<const std::uint32_t> order;   ///< all of them, highest rank first
  bool sink_visible = true;               ///< then place 0 is the sink

  std::size_t size() const { return contributions.size(); }
  bool is_sink(std::size_t rank) const { return sink_visible && order[rank] == 0; }
  double contribution_at(std::size_t rank) const { return contributions[order[rank]]; }
};

/// w_i = a_i c, sink a_0 kappa c (theory.md 5).
std::vector<double> assumed_contributions(std::span<const double> weights,
                                          const HeadAssumptions& assumptions, bool sink_visible);

/// Sums over nested selections with the assumed similarities C_ik = phi(|i - k|), C_0k = rho_0:
///   others(n, r) = sum over k in S_N, k != i, of w_k C_ik     with i the token of rank r,
/// which is m_i of theory.md (11) for a token of T and (C_SS W)_i - w_i of (20) for one of S.
/// The kernel is exponential, so a pass in each direction does it for all tokens; nothing is
/// subtracted, hence nothing cancels in sharp heads.
class SimilaritySums {
 public:
  /// `set_sizes` increase, each below the number of tokens.
  void compute(const RankedTokens& tokens, const SimilarityDecay& similarity,
               double sink_similarity, std::span<const std::size_t> set_sizes);

  std::span<const double> others(std::size_t size_index) const {
    return {others_.data() + size_index * tokens_, tokens_};
  }
  /// theory.md (20): |s|^2 = W' C_SS W, at least 0.
  double squared_norm(std::size_t size_index) const { return squared_norms_[size_index]; }

 private:
  std::size_t tokens_ = 0;
  std::vector<double> others_;  // [size, rank]
  std::vector<double> squared_norms_;
  std::vector<std::uint32_t> ranks_;
  std::vector<double> set_sizes_, by_token_;  // [choice], [token, choice]
};

}  // namespace toplens
