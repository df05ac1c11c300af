#include "kernels/rms_norm.h"

#include <cassert>
#include <cmath>
#include <cstddef>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rms_norm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace toplens {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void RmsNorm(const float* x, const float* scale, double epsilon, float* out, std::size_t count) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  auto squares = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto v = hn::LoadU(d, x + i);
    squares = hn::MulAdd(v, v, squares);
  }
  double sum = hn::GetLane(hn::SumOfLanes(d, squares));
  for (; i < count; ++i) sum += static_cast<double>(x[i]) * x[i];
  if (!std::isfinite(sum)) {  // squares above 1e38 overflow in float32, not in float64
    sum = 0;
    for (i = 0; i < count; ++i) sum += static_cast<double>(x[i]) * x[i];
  }
  const auto factor =
      static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(count) + epsilon));
  const auto factors = hn::Set(d, factor);
  for (i = 0; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + i), factors), hn::LoadU(d, scale + i)), d, out + i);
  }
  for (; i < count; ++i) out[i] = x[i] * factor * scale[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace toplens
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(RmsNorm);

void rms_norm(std::span<const float> x, std::span<const float> scale, double epsilon,
              std::span<float> out) {
  assert(x.size() == scale.size() && x.size() == out.size());
  HWY_DYNAMIC_DISPATCH(RmsNorm)(x.data(), scale.data(), epsilon, out.data(), x.size());
}

}  // namespace toplens
#endif  // HWY_ONCE
