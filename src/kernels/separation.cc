#include "kernels/separation.h"

#include <algorithm>
#include <cassert>
#include <limits>

#include "kernels/gram.h"

// Arrays of vectors do not exist on targets whose vector size is unknown to the compiler.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/separation.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace toplens::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using F64 = hn::CappedTag<double, kLaneBlock>;

void euclidean_scores(const double* HWY_RESTRICT sums, const double* HWY_RESTRICT weights,
                      const double* HWY_RESTRICT squared_norms, std::size_t tokens,
                      double* HWY_RESTRICT scores) {
  const F64 d;
  for (std::size_t j = 0; j < tokens; j += hn::Lanes(d)) {
    const auto sum = hn::LoadU(d, sums + j);
    const auto weight = hn::LoadU(d, weights + j);
    const auto own = hn::Mul(weight, hn::LoadU(d, squared_norms + j));
    hn::StoreU(hn::Mul(weight, hn::Sub(hn::Add(sum, sum), own)), d, scores + j);
  }
}

void cosine_scores(const double* HWY_RESTRICT sums, const double* HWY_RESTRICT inverse_norms,
                   std::size_t tokens, double* HWY_RESTRICT scores) {
  const F64 d;
  for (std::size_t j = 0; j < tokens; j += hn::Lanes(d)) {
    hn::StoreU(hn::Mul(hn::LoadU(d, sums + j), hn::LoadU(d, inverse_norms + j)), d, scores + j);
  }
}

std::size_t count_products_below(const double* HWY_RESTRICT norms, double factor, double threshold,
                                 std::size_t tokens) {
  const F64 d;
  const auto limit = hn::Set(d, threshold);
  const auto scale = hn::Set(d, factor);
  const std::size_t lanes = hn::Lanes(d);
  std::size_t count = 0;
  std::size_t j = 0;
  for (; j + lanes <= tokens; j += lanes) {
    count += hn::CountTrue(d, hn::Lt(hn::Mul(hn::LoadU(d, norms + j), scale), limit));
  }
  for (; j < tokens; ++j) count += norms[j] * factor < threshold ? 1 : 0;
  return count;
}

double largest(const double* HWY_RESTRICT scores, std::size_t tokens) {
  const F64 d;
  auto best = hn::LoadU(d, scores);
  for (std::size_t j = hn::Lanes(d); j < tokens; j += hn::Lanes(d)) {
    best = hn::Max(best, hn::LoadU(d, scores + j));
  }
  return hn::GetLane(hn::MaxOfLanes(d, best));
}

/// The scores at or above the threshold, packed; returns how many.
std::size_t pack_at_least(const double* HWY_RESTRICT scores, std::size_t tokens, double threshold,
                          double* HWY_RESTRICT packed) {
  const F64 d;
  const auto limit = hn::Set(d, threshold);
  std::size_t count = 0;
  for (std::size_t j = 0; j < tokens; j += hn::Lanes(d)) {
    const auto score = hn::LoadU(d, scores + j);
    const auto mask = hn::Ge(score, limit);
    // A compress in the register and a whole store: compressing into memory is slow on Zen.
    hn::StoreU(hn::Compress(score, mask), d, packed + count);
    count += hn::CountTrue(d, mask);
  }
  return count;
}

/// Pairs (i, j) with candidates[j] >= selected[i].
std::uint64_t count_pairs(const double* HWY_RESTRICT selected, std::size_t num_selected,
                          const double* HWY_RESTRICT candidates, std::size_t num_candidates) {
  const F64 d;
  const std::size_t lanes = hn::Lanes(d);
  constexpr std::size_t kThresholds = 8;
  const auto one = hn::Set(d, 1.0);
  std::uint64_t pairs = 0;
  std::size_t i = 0;
  // Counts are kept in doubles: exact, and adding under a mask is one operation.
  for (; i + kThresholds <= num_selected; i += kThresholds) {
    hn::Vec<F64> threshold[kThresholds];
    hn::Vec<F64> count[kThresholds];
    for (std::size_t k = 0; k < kThresholds; ++k) {
      threshold[k] = hn::Set(d, selected[i + k]);
      count[k] = hn::Zero(d);
    }
    for (std::size_t j = 0; j < num_candidates; j += lanes) {
      const auto candidate = hn::LoadU(d, candidates + j);
      for (std::size_t k = 0; k < kThresholds; ++k) {
        count[k] = hn::Add(count[k], hn::IfThenElseZero(hn::Ge(candidate, threshold[k]), one));
      }
    }
    for (std::size_t k = 1; k < kThresholds; ++k) count[0] = hn::Add(count[0], count[k]);
    pairs += static_cast<std::uint64_t>(hn::GetLane(hn::SumOfLanes(d, count[0])));
  }
  for (; i < num_selected; ++i) {
    const auto threshold = hn::Set(d, selected[i]);
    for (std::size_t j = 0; j < num_candidates; j += lanes) {
      pairs += hn::CountTrue(d, hn::Ge(hn::LoadU(d, candidates + j), threshold));
    }
  }
  return pairs;
}

}  // namespace
}  // namespace toplens::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(euclidean_scores);
HWY_EXPORT(cosine_scores);
HWY_EXPORT(count_products_below);
HWY_EXPORT(largest);
HWY_EXPORT(pack_at_least);
HWY_EXPORT(count_pairs);

namespace {

constexpr double kNowhere = -std::numeric_limits<double>::infinity();
/// Above this many comparisons sorting the selection and searching in it is faster.
constexpr std::size_t kMaxPairwise = std::size_t{1} << 22;

std::uint64_t count_pairs_sorted(std::span<double> selected, std::span<const double> candidates) {
  std::sort(selected.begin(), selected.end());
  std::uint64_t pairs = 0;
  for (const double candidate : candidates) {
    pairs += static_cast<std::uint64_t>(
        std::upper_bound(selected.begin(), selected.end(), candidate) - selected.begin());
  }
  return pairs;
}

}  // namespace

void euclidean_scores(const double* sums, const double* weights, const double* squared_norms,
                      std::size_t tokens, double* scores) {
  HWY_DYNAMIC_DISPATCH(euclidean_scores)(sums, weights, squared_norms, tokens, scores);
}

void cosine_scores(const double* sums, const double* inverse_norms, std::size_t tokens,
                   double* scores) {
  HWY_DYNAMIC_DISPATCH(cosine_scores)(sums, inverse_norms, tokens, scores);
}

std::size_t count_products_below(const double* norms, double factor, double threshold,
                                 std::size_t tokens) {
  return HWY_DYNAMIC_DISPATCH(count_products_below)(norms, factor, threshold, tokens);
}

SeparationCounts SeparationCounter::count(double* scores, std::size_t tokens,
                                          std::span<const std::uint32_t> selected,
                                          bool with_inversions) {
  assert(!selected.empty() && selected.size() < tokens);
  // Selected scores move to an array of their own and leave a place that never counts.
  selected_.resize(selected.size());
  for (std::size_t i = 0; i < selected.size(); ++i) selected_[i] = scores[selected[i]];
  for (const std::uint32_t token : selected) scores[token] = kNowhere;
  std::fill(scores + tokens, scores + padded_to_lanes(tokens), kNowhere);

  SeparationCounts counts;
  counts.min_selected = *std::min_element(selected_.begin(), selected_.end());
  counts.max_unselected = HWY_DYNAMIC_DISPATCH(largest)(scores, tokens);
  for (const double score : selected_) counts.clear += score > counts.max_unselected ? 1 : 0;
  if (counts.max_unselected < counts.min_selected) return counts;

  candidates_.resize(padded_to_lanes(tokens) + kLaneBlock);
  const std::size_t candidates =
      HWY_DYNAMIC_DISPATCH(pack_at_least)(scores, tokens, counts.min_selected, candidates_.data());
  counts.contaminating = candidates;
  if (!with_inversions) return counts;
  if (candidates * selected_.size() > kMaxPairwise) {
    counts.inversions =
        count_pairs_sorted(selected_, std::span<const double>(candidates_).first(candidates));
    return counts;
  }
  std::fill_n(candidates_.begin() + static_cast<std::ptrdiff_t>(candidates), kLaneBlock, kNowhere);
  counts.inversions = HWY_DYNAMIC_DISPATCH(count_pairs)(selected_.data(), selected_.size(),
                                                        candidates_.data(), candidates);
  return counts;
}

}  // namespace toplens
#endif  // HWY_ONCE
