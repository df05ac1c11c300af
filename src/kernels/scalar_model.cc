#include "kernels/scalar_model.h"

#include <algorithm>
#include <cassert>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/scalar_model.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace toplens {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using F64 = hn::CappedTag<double, 8>;

ScalarModelCounts count_draw(const ScalarModel& model, const float* HWY_RESTRICT z,
                             const float* HWY_RESTRICT n, double* HWY_RESTRICT scores) {
  const F64 d;
  const hn::Rebind<float, F64> d_part;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t k = 0; k < model.tokens; k += lanes) {
    const auto norm = hn::PromoteTo(d, hn::LoadU(d_part, n + k));
    const auto draw = hn::PromoteTo(d, hn::LoadU(d_part, z + k));
    const auto inner =
        hn::MulAdd(hn::LoadU(d, model.noise + k), draw, hn::LoadU(d, model.linear + k));
    hn::StoreU(hn::Mul(norm, hn::MulAdd(hn::LoadU(d, model.square + k), norm, inner)), d,
               scores + k);
  }
  constexpr double kNowhere = -std::numeric_limits<double>::infinity();
  std::fill_n(scores + model.tokens, 8, kNowhere);

  std::size_t i = 0;
  auto low = hn::Set(d, -kNowhere);
  for (; i + lanes <= model.selected; i += lanes) low = hn::Min(low, hn::LoadU(d, scores + i));
  double smallest = hn::GetLane(hn::MinOfLanes(d, low));
  for (; i < model.selected; ++i) smallest = std::min(smallest, scores[i]);

  const auto limit = hn::Set(d, smallest);
  const auto one = hn::Set(d, 1.0);
  auto high = hn::Set(d, kNowhere);
  auto contaminating = hn::Zero(d);
  for (std::size_t j = model.selected; j < model.tokens; j += lanes) {
    const auto score = hn::LoadU(d, scores + j);
    high = hn::Max(high, score);
    contaminating = hn::Add(contaminating, hn::IfThenElseZero(hn::Ge(score, limit), one));
  }
  const double largest = hn::GetLane(hn::MaxOfLanes(d, high));

  ScalarModelCounts counts;
  counts.contaminating = static_cast<std::uint64_t>(hn::GetLane(hn::SumOfLanes(d, contaminating)));
  const auto bar = hn::Set(d, largest);
  for (i = 0; i + lanes <= model.selected; i += lanes) {
    counts.clear += hn::CountTrue(d, hn::Gt(hn::LoadU(d, scores + i), bar));
  }
  for (; i < model.selected; ++i) counts.clear += scores[i] > largest ? 1 : 0;
  return counts;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace toplens
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(count_draw);

ScalarModelCounts count_draw(const ScalarModel& model, const float* z, const float* n,
                             double* scores) {
  assert(model.selected >= 1 && model.selected < model.tokens);
  return HWY_DYNAMIC_DISPATCH(count_draw)(model, z, n, scores);
}

}  // namespace toplens
#endif  // HWY_ONCE
