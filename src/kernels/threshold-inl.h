// Per-target search for the score that the N highest reach: included inside other kernels, once for
// each instruction set.
#if defined(TOPLENS_KERNELS_THRESHOLD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TOPLENS_KERNELS_THRESHOLD_INL_H_
#undef TOPLENS_KERNELS_THRESHOLD_INL_H_
#else
#define TOPLENS_KERNELS_THRESHOLD_INL_H_
#endif

#include <algorithm>
#include <cstddef>

#include <hwy/highway.h>

#include "kernels/sortable.h"

HWY_BEFORE_NAMESPACE();
namespace toplens {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
std::size_t count_at_least(const T* HWY_RESTRICT scores, std::size_t count, T threshold) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto limit = hn::Set(d, threshold);
  const auto one = hn::Set(hn::RebindToSigned<decltype(d)>(), 1);
  const hn::RebindToSigned<decltype(d)> di;
  auto sum0 = hn::Zero(di);
  auto sum1 = hn::Zero(di);
  std::size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const auto above0 = hn::RebindMask(di, hn::Ge(hn::LoadU(d, scores + i), limit));
    const auto above1 = hn::RebindMask(di, hn::Ge(hn::LoadU(d, scores + i + lanes), limit));
    sum0 = hn::Add(sum0, hn::IfThenElseZero(above0, one));
    sum1 = hn::Add(sum1, hn::IfThenElseZero(above1, one));
  }
  auto total = static_cast<std::size_t>(hn::GetLane(hn::SumOfLanes(di, hn::Add(sum0, sum1))));
  for (; i < count; ++i) total += scores[i] >= threshold ? 1 : 0;
  return total;
}

/// A score that `wanted` scores or the fewest more that ties allow reach, and how many do.
template <typename T>
struct Threshold {
  T score;
  T highest;
  std::size_t reached;
};

template <typename T>
Threshold<T> find_threshold(const T* scores, std::size_t count, std::size_t wanted) {
  T lowest = scores[0];
  T highest = scores[0];
  {
    const hn::ScalableTag<T> d;
    const std::size_t lanes = hn::Lanes(d);
    std::size_t i = 0;
    if (count >= lanes) {
      auto least = hn::LoadU(d, scores);
      auto most = least;
      for (i = lanes; i + lanes <= count; i += lanes) {
        const auto score = hn::LoadU(d, scores + i);
        least = hn::Min(least, score);
        most = hn::Max(most, score);
      }
      lowest = hn::GetLane(hn::MinOfLanes(d, least));
      highest = hn::GetLane(hn::MaxOfLanes(d, most));
    }
    for (; i < count; ++i) {
      lowest = std::min(lowest, scores[i]);
      highest = std::max(highest, scores[i]);
    }
  }
  // At or above `low` are `wanted` or more, above `high` fewer.
  BitsOf<T> low = sortable(lowest);
  BitsOf<T> high = sortable(highest);
  std::size_t at_low = count;
  while (at_low > wanted && low < high) {
    const BitsOf<T> middle = low + (high - low) / 2 + 1;
    const std::size_t at_middle = count_at_least(scores, count, from_sortable<T>(middle));
    if (at_middle >= wanted) {
      low = middle;
      at_low = at_middle;
    } else {
      high = middle - 1;
    }
  }
  return {from_sortable<T>(low), highest, at_low};
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace toplens
HWY_AFTER_NAMESPACE();

#endif  // per target
