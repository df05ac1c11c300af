#include "kernels/normal_tail.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/normal_tail.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>
//
#include "kernels/normal_tail-inl.h"

HWY_BEFORE_NAMESPACE();
namespace toplens {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using F64 = hn::CappedTag<double, 8>;
using F32 = hn::CappedTag<float, 16>;
using F32OfF64 = hn::Rebind<float, F64>;

/// Squares of z end here: far beyond it every tail is 0, and they must fit float32.
constexpr double kLargestSquare = 1e4;
/// A block whose smallest z^2 lies above this adds less than 2e-11 for each element.
constexpr float kNegligibleSquare = 50.0f;
constexpr float kNegligible = 7.0710678f;
/// The tail at 12 is 2e-33, and the exponential still a normal number.
constexpr float kLargest = 12.0f;

void normal_tail(const double* HWY_RESTRICT z, std::size_t count, float* HWY_RESTRICT tails) {
  const F32 d;
  HWY_ALIGN float squares[kTailBlock];
  for (std::size_t begin = 0; begin < count; begin += kTailBlock) {
    const std::size_t size = std::min(kTailBlock, count - begin);
    for (std::size_t k = 0; k < kTailBlock; ++k) {
      const double x = z[begin + std::min(k, size - 1)];
      squares[k] = static_cast<float>(std::clamp(x * (x < 0 ? -x : x), -kLargestSquare,  //
                                                 kLargestSquare));
    }
    for (std::size_t k = 0; k < kTailBlock; k += hn::Lanes(d)) {
      const auto s = hn::Load(d, squares + k);
      hn::Store(tail_from_signed_square(d, s, half_square_exponential(d, s)), d, squares + k);
    }
    std::copy_n(squares, size, tails + begin);
  }
}

TailSums competitor_tails(double score, const double* HWY_RESTRICT centres,
                          const double* HWY_RESTRICT inverse_sds, std::size_t padded_count,
                          double enough) {
  const F64 d64;
  const F32OfF64 d_part;
  const F32 d;
  const auto scores = hn::Set(d64, score);
  const auto largest = hn::Set(d64, kLargestSquare);
  HWY_ALIGN float squares[kTailBlock];
  TailSums sums;
  for (std::size_t begin = 0; begin < padded_count; begin += kTailBlock) {
    auto smallest = hn::Set(d64, kLargestSquare);
    for (std::size_t k = 0; k < kTailBlock; k += hn::Lanes(d64)) {
      const auto z = hn::Mul(hn::Sub(scores, hn::LoadU(d64, centres + begin + k)),
                             hn::LoadU(d64, inverse_sds + begin + k));
      const auto square = hn::Max(hn::Min(hn::Mul(z, hn::Abs(z)), largest), hn::Neg(largest));
      smallest = hn::Min(smallest, square);
      hn::StoreU(hn::DemoteTo(d_part, square), d_part, squares + k);
    }
    if (hn::GetLane(hn::MinOfLanes(d64, smallest)) > kNegligibleSquare) continue;
    auto chernoff = hn::Zero(d);
    auto gaussian = hn::Zero(d);
    for (std::size_t k = 0; k < kTailBlock; k += hn::Lanes(d)) {
      const auto s = hn::Load(d, squares + k);
      const auto exponential = half_square_exponential(d, s);
      chernoff =
          hn::Add(chernoff, hn::IfThenElse(hn::Gt(s, hn::Zero(d)), exponential, hn::Set(d, 1.0f)));
      gaussian = hn::Add(gaussian, tail_from_signed_square(d, s, exponential));
    }
    sums.chernoff += double{hn::GetLane(hn::SumOfLanes(d, chernoff))};
    sums.gaussian += double{hn::GetLane(hn::SumOfLanes(d, gaussian))};
    if (sums.chernoff >= enough && sums.gaussian >= enough) break;
  }
  return sums;
}

PairTails pairwise_tails(double mean, double variance, const double* HWY_RESTRICT means,
                         const double* HWY_RESTRICT variances, std::size_t padded_count,
                         float* HWY_RESTRICT column_sums, float* HWY_RESTRICT column_maxima) {
  const F64 d64;
  const F32OfF64 d_part;
  const F32 d;
  const auto own_mean = hn::Set(d64, mean);
  const auto own_variance = hn::Set(d64, variance);
  const auto largest = hn::Set(d64, kLargestSquare);
  const auto zero = hn::Zero(d64);
  HWY_ALIGN float squares[kTailBlock];
  double sum = 0.0;
  auto row_largest = hn::Zero(d);
  for (std::size_t begin = 0; begin < padded_count; begin += kTailBlock) {
    auto smallest = largest;
    for (std::size_t k = 0; k < kTailBlock; k += hn::Lanes(d64)) {
      const auto difference = hn::Sub(own_mean, hn::LoadU(d64, means + begin + k));
      const auto total = hn::Add(own_variance, hn::LoadU(d64, variances + begin + k));
      const auto ratio = hn::Div(hn::Mul(difference, difference), total);
      const auto size = hn::IfThenElse(hn::Eq(total, zero), largest, hn::Min(ratio, largest));
      const auto square = hn::IfThenElse(hn::Gt(difference, zero), size, hn::Neg(size));
      smallest = hn::Min(smallest, square);
      hn::StoreU(hn::DemoteTo(d_part, square), d_part, squares + k);
    }
    if (hn::GetLane(hn::MinOfLanes(d64, smallest)) > kNegligibleSquare) continue;
    auto block_sum = hn::Zero(d);
    for (std::size_t k = 0; k < kTailBlock; k += hn::Lanes(d)) {
      const auto s = hn::Load(d, squares + k);
      const auto p = tail_from_signed_square(d, s, half_square_exponential(d, s));
      block_sum = hn::Add(block_sum, p);
      row_largest = hn::Max(row_largest, p);
      float* const sums = column_sums + begin + k;
      float* const maxima = column_maxima + begin + k;
      hn::StoreU(hn::Add(hn::LoadU(d, sums), p), d, sums);
      hn::StoreU(hn::Max(hn::LoadU(d, maxima), p), d, maxima);
    }
    sum += double{hn::GetLane(hn::SumOfLanes(d, block_sum))};
  }
  return {sum, double{hn::GetLane(hn::MaxOfLanes(d, row_largest))}};
}

/// The same where sums of two variances are far from the ends of float32's range: differences of
/// means are taken in float64, the rest is float32.
PairTails pairwise_tails_of_float(double mean, float variance, const double* HWY_RESTRICT means,
                                  const float* HWY_RESTRICT variances, std::size_t padded_count,
                                  float* HWY_RESTRICT column_sums,
                                  float* HWY_RESTRICT column_maxima) {
  const F64 d64;
  const F32OfF64 d_part;
  const F32 d;
  const auto own_mean = hn::Set(d64, mean);
  const auto own_variance = hn::Set(d, variance);
  HWY_ALIGN float differences[kTailBlock];
  HWY_ALIGN float z[kTailBlock];
  constexpr std::size_t kFlush = 16 * kTailBlock;  // so that float32 sums stay short
  double sum = 0.0;
  auto part = hn::Zero(d);
  auto row_largest = hn::Zero(d);
  for (std::size_t begin = 0; begin < padded_count; begin += kTailBlock) {
    if (begin % kFlush == 0) {
      sum += double{hn::GetLane(hn::SumOfLanes(d, part))};
      part = hn::Zero(d);
    }
    for (std::size_t k = 0; k < kTailBlock; k += hn::Lanes(d64)) {
      const auto difference = hn::Sub(own_mean, hn::LoadU(d64, means + begin + k));
      hn::StoreU(hn::DemoteTo(d_part, difference), d_part, differences + k);
    }
    auto smallest = hn::Set(d, kLargest);
    for (std::size_t k = 0; k < kTailBlock; k += hn::Lanes(d)) {
      const auto total = hn::Add(own_variance, hn::LoadU(d, variances + begin + k));
      const auto ratio = hn::Mul(hn::Load(d, differences + k), reciprocal_root(d, total));
      const auto bounded = hn::Max(hn::Min(ratio, hn::Set(d, kLargest)), hn::Set(d, -kLargest));
      smallest = hn::Min(smallest, bounded);
      hn::Store(bounded, d, z + k);
    }
    if (hn::AllTrue(d, hn::Gt(smallest, hn::Set(d, kNegligible)))) continue;
    for (std::size_t k = 0; k < kTailBlock; k += hn::Lanes(d)) {
      const auto p = tail_from_z(d, hn::Load(d, z + k));
      part = hn::Add(part, p);
      row_largest = hn::Max(row_largest, p);
      float* const sums = column_sums + begin + k;
      float* const maxima = column_maxima + begin + k;
      hn::StoreU(hn::Add(hn::LoadU(d, sums), p), d, sums);
      hn::StoreU(hn::Max(hn::LoadU(d, maxima), p), d, maxima);
    }
  }
  return {sum + double{hn::GetLane(hn::SumOfLanes(d, part))},
          double{hn::GetLane(hn::MaxOfLanes(d, row_largest))}};
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace toplens
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(normal_tail);
HWY_EXPORT(competitor_tails);
HWY_EXPORT(pairwise_tails);
HWY_EXPORT(pairwise_tails_of_float);

void normal_tail(std::span<const double> z, std::span<float> tails) {
  assert(z.size() == tails.size());
  HWY_DYNAMIC_DISPATCH(normal_tail)(z.data(), z.size(), tails.data());
}

TailSums competitor_tails(double score, const double* centres, const double* inverse_sds,
                          std::size_t padded_count, double enough) {
  assert(padded_count % kTailBlock == 0);
  return HWY_DYNAMIC_DISPATCH(competitor_tails)(score, centres, inverse_sds, padded_count, enough);
}

void PairwiseTails::start(std::span<const double> means, std::span<const double> variances) {
  assert(means.size() == variances.size() && !means.empty());
  count_ = means.size();
  const auto [least, most] = std::minmax_element(variances.begin(), variances.end());
  exponent_ = *most > 0.0 ? -std::ilogb(*most) / 2 : 0;
  const double scale = std::ldexp(1.0, exponent_);
  least_variance_ = *least * scale * scale;
  const std::size_t padded = padded_to_tail_block(count_);
  means_.assign(padded, kNoCompetitor);
  variances_.assign(padded, 1.0);
  float_variances_.assign(padded, 1.0f);
  for (std::size_t j = 0; j < count_; ++j) {
    means_[j] = means[j] * scale;
    variances_[j] = variances[j] * scale * scale;
    float_variances_[j] = static_cast<float>(variances_[j]);
  }
  column_sums_.assign(padded, 0.0f);
  column_maxima_.assign(padded, 0.0f);
}

PairTails PairwiseTails::add(double mean, double variance) {
  const double scale = std::ldexp(1.0, exponent_);
  const double own_mean = mean * scale, own_variance = variance * scale * scale;
  // The largest variance of a competitor is between 1 and 4, or all are 0.
  constexpr double kSmall = 0x1p-90, kLarge = 0x1p90;
  if (own_variance + least_variance_ >= kSmall && own_variance <= kLarge) {
    return HWY_DYNAMIC_DISPATCH(pairwise_tails_of_float)(
        own_mean, static_cast<float>(own_variance), means_.data(), float_variances_.data(),
        means_.size(), column_sums_.data(), column_maxima_.data());
  }
  return HWY_DYNAMIC_DISPATCH(pairwise_tails)(own_mean, own_variance, means_.data(),
                                              variances_.data(), means_.size(), column_sums_.data(),
                                              column_maxima_.data());
}

}  // namespace toplens
#endif  // HWY_ONCE
