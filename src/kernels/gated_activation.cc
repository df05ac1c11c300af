#include "kernels/gated_activation.h"

#include <cassert>
#include <cstddef>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gated_activation.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
//
#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace toplens {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class Function>
void gate_with(const float* gate, const float* up, float* out, std::size_t count,
               const Function& function) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(function(d, hn::LoadU(d, gate + i), hn::LoadU(d, up + i)), d, out + i);
  }
  if (i == count) return;
  HWY_ALIGN float g[hn::MaxLanes(d)] = {};
  HWY_ALIGN float u[hn::MaxLanes(d)] = {};
  for (std::size_t j = i; j < count; ++j) {
    g[j - i] = gate[j];
    u[j - i] = up[j];
  }
  hn::Store(function(d, hn::Load(d, g), hn::Load(d, u)), d, g);
  for (std::size_t j = i; j < count; ++j) out[j] = g[j - i];
}

// Highway's Exp and Tanh convert to integers inside, which NaN and infinity must not reach. Beyond
// the limits both activations are flat; a NaN becomes 0 here and is brought back by the product
// with x.
template <class D, class V>
V clamped(D d, V x, float limit) {
  const V number = hn::IfThenZeroElse(hn::IsNaN(x), x);
  return hn::Max(hn::Min(number, hn::Set(d, limit)), hn::Set(d, -limit));
}

void Silu(const float* gate, const float* up, float* out, std::size_t count) {
  gate_with(gate, up, out, count, [](auto d, auto x, auto u) {
    const auto e = hn::Exp(d, hn::Neg(clamped(d, x, 88.0f)));
    return hn::Mul(hn::Mul(hn::Div(hn::Set(d, 1.0f), hn::Add(hn::Set(d, 1.0f), e)), x), u);
  });
}

void GeluTanh(const float* gate, const float* up, float* out, std::size_t count) {
  gate_with(gate, up, out, count, [](auto d, auto x, auto u) {
    const auto cubic = hn::Mul(hn::Mul(x, x), hn::Mul(x, hn::Set(d, 0.044715f)));
    const auto inner = hn::Mul(hn::Set(d, 0.7978845608028654f), hn::Add(x, cubic));
    const auto half = hn::Mul(hn::Set(d, 0.5f), x);
    return hn::Mul(hn::Mul(half, hn::Add(hn::Set(d, 1.0f), hn::Tanh(d, clamped(d, inner, 30.0f)))),
                   u);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace toplens
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(Silu);
HWY_EXPORT(GeluTanh);

void silu_gate(std::span<const float> gate, std::span<const float> up, std::span<float> out) {
  assert(gate.size() == up.size() && gate.size() == out.size());
  HWY_DYNAMIC_DISPATCH(Silu)(gate.data(), up.data(), out.data(), gate.size());
}

void gelu_tanh_gate(std::span<const float> gate, std::span<const float> up, std::span<float> out) {
  assert(gate.size() == up.size() && gate.size() == out.size());
  HWY_DYNAMIC_DISPATCH(GeluTanh)(gate.data(), up.data(), out.data(), gate.size());
}

}  // namespace toplens
#endif  // HWY_ONCE
