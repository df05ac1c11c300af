#include "kernels/rope.h"

#include <cassert>
#include <cstddef>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rope.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace toplens {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void RotateHalf(const float* x, const float* cosine, const float* sine, float* out,
                std::size_t half) {
  const auto rotate = [&](auto d, std::size_t i) {
    const auto a = hn::LoadU(d, x + i);
    const auto b = hn::LoadU(d, x + half + i);
    const auto c = hn::LoadU(d, cosine + i);
    const auto s = hn::LoadU(d, sine + i);
    hn::StoreU(hn::NegMulAdd(b, s, hn::Mul(a, c)), d, out + i);
    hn::StoreU(hn::MulAdd(a, s, hn::Mul(b, c)), d, out + half + i);
  };
  const hn::ScalableTag<float> d;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= half; i += hn::Lanes(d)) rotate(d, i);
  for (; i < half; ++i) rotate(hn::CappedTag<float, 1>(), i);
}

}  // namespace HWY_NAMESPACE
}  // namespace toplens
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(RotateHalf);

void rotate_half(std::span<const float> x, std::span<const float> cosine,
                 std::span<const float> sine, std::span<float> out) {
  assert(x.size() == out.size() && x.size() % 2 == 0 && cosine.size() == x.size() / 2);
  HWY_DYNAMIC_DISPATCH(RotateHalf)(x.data(), cosine.data(), sine.data(), out.data(), x.size() / 2);
}

}  // namespace toplens
#endif  // HWY_ONCE
