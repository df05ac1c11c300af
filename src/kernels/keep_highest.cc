#include "kernels/keep_highest.h"

#include <cassert>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/keep_highest.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>
//
#include "kernels/threshold-inl.h"

HWY_BEFORE_NAMESPACE();
namespace toplens {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Drops what lies below the threshold, and of what lies at it all but the first `ties`. Scores may
/// be the weights, so both are read before a weight is written.
void drop_rest(float* weights, const float* scores, std::size_t count, float threshold,
               std::size_t ties) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto at = hn::Set(d, threshold);
  const auto drop_one = [&](std::size_t i) {
    const float score = scores[i];
    if (score > threshold) return;
    if (score == threshold && ties > 0) {
      --ties;
      return;
    }
    weights[i] = 0;
  };
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto score = hn::LoadU(d, scores + i);
    if (hn::AllFalse(d, hn::Eq(score, at))) {
      hn::StoreU(hn::IfThenElseZero(hn::Gt(score, at), hn::LoadU(d, weights + i)), d, weights + i);
    } else {
      for (std::size_t lane = 0; lane < lanes; ++lane) drop_one(i + lane);
    }
  }
  for (; i < count; ++i) drop_one(i);
}

void KeepHighest(float* weights, const float* scores, std::size_t count, std::size_t keep) {
  const Threshold<float> threshold = find_threshold(scores, count, keep);
  std::size_t ties = count;
  if (threshold.reached != keep) {
    // More tokens tie at the threshold than fit.
    std::size_t above = 0;
    if (threshold.score < threshold.highest) {
      above = count_at_least(scores, count, from_sortable<float>(sortable(threshold.score) + 1));
    }
    ties = keep - above;
  }
  drop_rest(weights, scores, count, threshold.score, ties);
}

bool ScaleToUnitSum(float* weights, std::size_t count) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  std::size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    sum0 = hn::Add(sum0, hn::LoadU(d, weights + i));
    sum1 = hn::Add(sum1, hn::LoadU(d, weights + i + lanes));
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
  for (; i < count; ++i) sum += weights[i];
  if (sum == 0) return false;
  // Divided, not multiplied: the inverse of a subnormal sum is infinite.
  const auto divisor = hn::Set(d, sum);
  for (i = 0; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::Div(hn::LoadU(d, weights + i), divisor), d, weights + i);
  }
  for (; i < count; ++i) weights[i] /= sum;
  return true;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace toplens
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(KeepHighest);
HWY_EXPORT(ScaleToUnitSum);

void keep_highest(std::span<float> weights, std::span<const float> scores, std::size_t keep) {
  assert(scores.size() == weights.size() && keep >= 1);
  if (keep >= weights.size()) return;
  HWY_DYNAMIC_DISPATCH(KeepHighest)(weights.data(), scores.data(), weights.size(), keep);
}

bool scale_to_unit_sum(std::span<float> weights) {
  return HWY_DYNAMIC_DISPATCH(ScaleToUnitSum)(weights.data(), weights.size());
}

}  // namespace toplens
#endif  // HWY_ONCE
