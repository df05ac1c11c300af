#include "kernels/softmax.h"

#include <cmath>
#include <cstddef>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
//
#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace toplens {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// All loops treat the last, partial vector like the others, through a padded copy, so that an
// element's result does not depend on where the row ends.
template <class D>
hn::Vec<D> load_partial(D d, const float* from, std::size_t count, float padding) {
  HWY_ALIGN float buffer[hn::MaxLanes(d)];
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) buffer[i] = i < count ? from[i] : padding;
  return hn::Load(d, buffer);
}

template <class D>
void store_partial(D d, hn::Vec<D> value, float* to, std::size_t count) {
  HWY_ALIGN float buffer[hn::MaxLanes(d)];
  hn::Store(value, d, buffer);
  for (std::size_t i = 0; i < count; ++i) to[i] = buffer[i];
}

/// Applies function(vector) -> vector to every element.
template <class D, class Function>
void transform(D d, float* values, std::size_t count, float padding, const Function& function) {
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(function(hn::LoadU(d, values + i)), d, values + i);
  }
  if (i < count) {
    store_partial(d, function(load_partial(d, values + i, count - i, padding)), values + i,
                  count - i);
  }
}

// Highway's Exp and Tanh convert to integers inside, which infinity and NaN must not reach; below
// -104 Exp is exactly 0.
template <class D, class V>
V exp_of_nonpositive(D d, V x) {
  return hn::Exp(d, hn::Max(x, hn::Set(d, -1000.0f)));
}

template <class D, class V>
V soft_capped(D d, V x, V cap) {
  return hn::Mul(cap, hn::Tanh(d, hn::Div(hn::IfThenElseZero(hn::IsFinite(x), x), cap)));
}

void Softcap(float* values, std::size_t count, float softcap) {
  const hn::ScalableTag<float> d;
  const auto cap = hn::Set(d, softcap);
  transform(d, values, count, 0.0f, [&](auto v) { return soft_capped(d, v, cap); });
}

// A whole number of vectors on every target.
constexpr std::size_t kSumBlock = 256;

bool Softmax(float* scores, std::size_t count, float scale, float softcap) {
  const hn::ScalableTag<float> d;
  const auto scales = hn::Set(d, scale);
  const auto cap = hn::Set(d, softcap);
  const auto lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto max = lowest;
  auto finite = hn::FirstN(d, hn::Lanes(d));
  transform(d, scores, count, scores[0], [&](auto v) {
    auto scaled = hn::Mul(v, scales);
    finite = hn::And(finite, hn::IsFinite(scaled));
    if (softcap > 0) scaled = soft_capped(d, scaled, cap);
    max = hn::Max(max, scaled);
    return scaled;
  });
  if (!hn::AllTrue(d, finite)) return false;
  max = hn::MaxOfLanes(d, max);
  // Padding lanes are given a score whose exponential is exactly 0. Blocks are summed in float64:
  // a float32 sum of a long row is off by 1e-5.
  double sum = 0;
  for (std::size_t first = 0; first < count; first += kSumBlock) {
    auto block_sum = hn::Zero(d);
    const std::size_t size = count - first < kSumBlock ? count - first : kSumBlock;
    transform(d, scores + first, size, -std::numeric_limits<float>::infinity(), [&](auto v) {
      const auto e = exp_of_nonpositive(d, hn::Sub(v, max));
      block_sum = hn::Add(block_sum, e);
      return e;
    });
    sum += hn::GetLane(hn::SumOfLanes(d, block_sum));
  }
  const auto inverse = hn::Set(d, static_cast<float>(1.0 / sum));
  transform(d, scores, count, 0.0f, [&](auto v) { return hn::Mul(v, inverse); });
  return true;
}

void LogSumExp(const float* logits, std::size_t count, double* max_out, double* sum_out) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  auto max = hn::Set(d, -std::numeric_limits<float>::infinity());
  std::size_t i = 0;
  bool nan = false;
  for (; i + lanes <= count; i += lanes) {
    const auto v = hn::LoadU(d, logits + i);
    nan = nan || !hn::AllFalse(d, hn::IsNaN(v));
    max = hn::Max(max, v);
  }
  if (i < count) {
    const auto v = load_partial(d, logits + i, count - i, logits[i]);
    nan = nan || !hn::AllFalse(d, hn::IsNaN(v));
    max = hn::Max(max, v);
  }
  if (nan) {  // Exp would turn NaN into 0 and hide it
    *max_out = *sum_out = std::numeric_limits<double>::quiet_NaN();
    return;
  }
  max = hn::MaxOfLanes(d, max);
  *max_out = hn::GetLane(max);
  if (std::isinf(*max_out)) {  // infinity, or nothing but minus infinity
    *sum_out = *max_out > 0 ? std::numeric_limits<double>::quiet_NaN() : 0.0;
    return;
  }
  // Exponentials in float32 (1e-7 each), their sum in float64.
  const hn::Repartition<double, decltype(d)> dd;
  const hn::Rebind<float, decltype(dd)> d_part;
  HWY_ALIGN float exponentials[hn::MaxLanes(d)];
  auto sum = hn::Zero(dd);
  const auto add = [&](auto v) {
    hn::Store(exp_of_nonpositive(d, hn::Sub(v, max)), d, exponentials);
    for (std::size_t j = 0; j < lanes; j += hn::Lanes(dd)) {
      sum = hn::Add(sum, hn::PromoteTo(dd, hn::LoadU(d_part, exponentials + j)));
    }
  };
  for (i = 0; i + lanes <= count; i += lanes) add(hn::LoadU(d, logits + i));
  if (i < count) {
    add(load_partial(d, logits + i, count - i, -std::numeric_limits<float>::infinity()));
  }
  *sum_out = hn::GetLane(hn::SumOfLanes(dd, sum));
}

}  // namespace HWY_NAMESPACE
}  // namespace toplens
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(Softcap);
HWY_EXPORT(Softmax);
HWY_EXPORT(LogSumExp);

bool softmax_row(std::span<float> scores, float scale, float softcap) {
  if (scores.empty()) return true;
  return HWY_DYNAMIC_DISPATCH(Softmax)(scores.data(), scores.size(), scale, softcap);
}

void apply_softcap(std::span<float> values, float softcap) {
  HWY_DYNAMIC_DISPATCH(Softcap)(values.data(), values.size(), softcap);
}

PartialLogSumExp partial_log_sum_exp(std::span<const float> logits) {
  PartialLogSumExp result;
  if (logits.empty()) {
    result.max = -std::numeric_limits<double>::infinity();
    return result;
  }
  HWY_DYNAMIC_DISPATCH(LogSumExp)(logits.data(), logits.size(), &result.max, &result.sum);
  return result;
}

}  // namespace toplens
#endif  // HWY_ONCE
