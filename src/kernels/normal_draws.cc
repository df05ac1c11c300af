#include "kernels/normal_draws.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/normal_draws.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>
//
#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace toplens {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using F32 = hn::CappedTag<float, 16>;

/// 2 * kNormalPairs normal numbers from as many 32-bit words.
void normal_block(const std::int32_t* HWY_RESTRICT words, float* HWY_RESTRICT out) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  for (std::size_t k = 0; k < kNormalPairs; k += hn::Lanes(d)) {
    // The first words are in [0, 2^31): their share of it lies in (0, 1].
    const auto first = hn::ConvertTo(d, hn::LoadU(di, words + k));
    const auto uniform = hn::Mul(hn::Add(first, hn::Set(d, 0.5f)), hn::Set(d, 0x1.0p-31f));
    const auto squared = hn::Max(hn::Zero(d), hn::Mul(hn::Set(d, -2.0f), hn::Log(d, uniform)));
    const auto radius = hn::Sqrt(squared);
    const auto angle = hn::Mul(hn::ConvertTo(d, hn::LoadU(di, words + kNormalPairs + k)),
                               hn::Set(d, 3.14159265f * 0x1.0p-31f));
    hn::StoreU(hn::Mul(radius, hn::Cos(d, angle)), d, out + k);
    hn::StoreU(hn::Mul(radius, hn::Sin(d, angle)), d, out + kNormalPairs + k);
  }
}

void log_normal(const float* HWY_RESTRICT normal, std::size_t count, float scale, float shift,
                float* HWY_RESTRICT out) {
  const F32 d;
  const auto log_normal_of = [&](auto z) {
    return hn::Exp(d, hn::MulAdd(z, hn::Set(d, scale), hn::Set(d, shift)));
  };
  const std::size_t lanes = hn::Lanes(d);
  std::size_t k = 0;
  for (; k + lanes <= count; k += lanes) {
    hn::StoreU(log_normal_of(hn::LoadU(d, normal + k)), d, out + k);
  }
  if (k == count) return;
  HWY_ALIGN float rest[16] = {};
  std::copy(normal + k, normal + count, rest);
  hn::Store(log_normal_of(hn::Load(d, rest)), d, rest);
  std::copy_n(rest, count - k, out + k);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace toplens
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(normal_block);
HWY_EXPORT(log_normal);

void normal_draws(Random& random, std::span<float> out) {
  std::int32_t words[2 * kNormalPairs];
  float numbers[2 * kNormalPairs];
  for (std::size_t begin = 0; begin < out.size(); begin += 2 * kNormalPairs) {
    for (std::size_t k = 0; k < kNormalPairs; ++k) {
      const std::uint64_t bits = random.next();
      words[k] = static_cast<std::int32_t>(bits >> 33);
      words[kNormalPairs + k] = static_cast<std::int32_t>(static_cast<std::uint32_t>(bits));
    }
    HWY_DYNAMIC_DISPATCH(normal_block)(words, numbers);
    const std::size_t count = std::min(2 * kNormalPairs, out.size() - begin);
    std::copy_n(numbers, count, out.data() + begin);
  }
}

void log_normal_from_normal(std::span<const float> normal, double sd, std::span<float> out) {
  assert(normal.size() == out.size());
  const double squared = std::log1p(sd * sd);
  HWY_DYNAMIC_DISPATCH(log_normal)
  (normal.data(), normal.size(), static_cast<float>(std::sqrt(squared)),
   static_cast<float>(-0.5 * squared), out.data());
}

}  // namespace toplens
#endif  // HWY_ONCE
