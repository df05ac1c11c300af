#include "kernels/convert.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include "kernels/dequantize.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/convert.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace toplens {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Highway 1.0's own DemoteTo to bfloat16 truncates; rounding to nearest even is done on the bits.
template <class D, class V>
hn::Vec<hn::Rebind<std::uint16_t, D>> round_to_bf16(D /*d*/, V value) {
  const hn::RebindToUnsigned<D> du;
  const auto bits = hn::BitCast(du, value);
  const auto upper = hn::ShiftRight<16>(bits);
  const auto odd = hn::And(upper, hn::Set(du, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(du, 0x7fff)), odd));
  const auto is_nan = hn::RebindMask(du, hn::IsNaN(value));
  const auto quiet = hn::Or(upper, hn::Set(du, 0x40));
  return hn::TruncateTo(hn::Rebind<std::uint16_t, D>(), hn::IfThenElse(is_nan, quiet, rounded));
}

void ToBf16(const float* from, Bf16* to, std::size_t count) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<std::uint16_t, decltype(d)> d16;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(round_to_bf16(d, hn::LoadU(d, from + i)), d16, to + i);
  }
  const hn::CappedTag<float, 1> d1;
  const hn::Rebind<std::uint16_t, decltype(d1)> d1_16;
  for (; i < count; ++i) hn::StoreU(round_to_bf16(d1, hn::LoadU(d1, from + i)), d1_16, to + i);
}

template <class D>
hn::Vec<D> promote(D d, const hwy::bfloat16_t* from) {
  return hn::PromoteTo(d, hn::Load(hn::Rebind<hwy::bfloat16_t, D>(), from));
}

// Highway 1.0's own promotion takes infinity and NaN for ordinary numbers (65536 and more) where
// the processor has no instruction for it.
template <class D>
hn::Vec<D> promote(D d, const hwy::float16_t* from) {
  const hn::RebindToUnsigned<D> du;
  const hn::Rebind<hwy::float16_t, D> d_half;
  const auto half = hn::Load(d_half, from);
  const auto bits = hn::PromoteTo(du, hn::BitCast(hn::RebindToUnsigned<decltype(d_half)>(), half));
  const auto exponent = hn::Set(du, 0x7c00);
  const auto special = hn::Eq(hn::And(bits, exponent), exponent);
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000)));
  const auto fraction = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du, 0x3ff)));
  const auto wide = hn::Or(hn::Or(sign, fraction), hn::Set(du, 0x7f800000));
  return hn::IfThenElse(hn::RebindMask(d, special), hn::BitCast(d, wide), hn::PromoteTo(d, half));
}

// Reads 16-bit elements by lanes; a byte copy into a register-sized buffer keeps any alignment
// legal.
template <class Source, class D>
void PromoteFrom(D d, const std::byte* from, float* to, std::size_t count) {
  const hn::Rebind<Source, D> d_source;
  const std::size_t lanes = hn::Lanes(d);
  HWY_ALIGN Source buffer[hn::MaxLanes(d_source)];
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    std::memcpy(static_cast<void*>(buffer), from + 2 * i, 2 * lanes);
    hn::StoreU(promote(d, buffer), d, to + i);
  }
  if (i == count) return;
  std::memset(static_cast<void*>(buffer), 0, sizeof(buffer));
  std::memcpy(static_cast<void*>(buffer), from + 2 * i, 2 * (count - i));
  HWY_ALIGN float tail[hn::MaxLanes(d)];
  hn::Store(promote(d, buffer), d, tail);
  std::memcpy(to + i, tail, sizeof(float) * (count - i));
}

void FromF16(const std::byte* from, float* to, std::size_t count) {
  PromoteFrom<hwy::float16_t>(hn::ScalableTag<float>(), from, to, count);
}

void FromBf16(const std::byte* from, float* to, std::size_t count) {
  PromoteFrom<hwy::bfloat16_t>(hn::ScalableTag<float>(), from, to, count);
}

bool AllFinite(const float* values, std::size_t count) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  auto finite = hn::FirstN(d, lanes);
  for (; i + lanes <= count; i += lanes) {
    finite = hn::And(finite, hn::IsFinite(hn::LoadU(d, values + i)));
  }
  bool all = hn::AllTrue(d, finite);
  const hn::CappedTag<float, 1> d1;
  for (; i < count; ++i) all = all && hn::AllTrue(d1, hn::IsFinite(hn::LoadU(d1, values + i)));
  return all;
}

}  // namespace HWY_NAMESPACE
}  // namespace toplens
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(ToBf16);
HWY_EXPORT(FromF16);
HWY_EXPORT(FromBf16);
HWY_EXPORT(AllFinite);

void convert_to_bf16(std::span<const float> from, std::span<Bf16> to) {
  assert(from.size() == to.size());
  HWY_DYNAMIC_DISPATCH(ToBf16)(from.data(), to.data(), from.size());
}

void convert_to_f32(const std::byte* from, DataType type, std::span<float> to) {
  switch (type) {
    case DataType::f32:
      std::memcpy(to.data(), from, to.size_bytes());
      return;
    case DataType::f16:
      HWY_DYNAMIC_DISPATCH(FromF16)(from, to.data(), to.size());
      return;
    case DataType::bf16:
      HWY_DYNAMIC_DISPATCH(FromBf16)(from, to.data(), to.size());
      return;
    case DataType::q4_0:
    case DataType::q4_1:
    case DataType::q5_0:
    case DataType::q5_1:
    case DataType::q8_0:
    case DataType::q4_k:
    case DataType::q5_k:
    case DataType::q6_k:
      dequantize(from, type, to);
      return;
  }
}

void convert_to_bf16(const std::byte* from, DataType type, std::span<Bf16> to) {
  if (type == DataType::bf16) {
    std::memcpy(to.data(), from, to.size_bytes());
    return;
  }
  std::array<float, 1024> block;  // whole blocks of any quantised type
  for (std::size_t first = 0; first < to.size(); first += block.size()) {
    const std::size_t count = std::min(block.size(), to.size() - first);
    const std::span<float> wide(block.data(), count);
    convert_to_f32(from + stored_bytes(type, first), type, wide);
    convert_to_bf16(wide, to.subspan(first, count));
  }
}

bool all_finite(std::span<const float> values) {
  return HWY_DYNAMIC_DISPATCH(AllFinite)(values.data(), values.size());
}

}  // namespace toplens
#endif  // HWY_ONCE
