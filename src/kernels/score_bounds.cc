#include "kernels/score_bounds.h"

#include <algorithm>
#include <bit>
#include <cassert>

// Arrays of vectors do not exist on targets whose vector size is unknown to the compiler.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/score_bounds.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace toplens::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using F32 = hn::CappedTag<float, kColumnBlock>;
using I32 = hn::RebindToSigned<F32>;
using U32 = hn::RebindToUnsigned<F32>;

HWY_INLINE hn::Mask<F32> selected_columns(const std::int32_t* rank, hn::Vec<I32> set_size) {
  return hn::RebindMask(F32(), hn::Lt(hn::LoadU(I32(), rank), set_size));
}

void euclidean_terms(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT norms,
                     const EuclideanScaling& scaling, std::size_t columns,
                     float* HWY_RESTRICT slope, float* HWY_RESTRICT offset,
                     float* HWY_RESTRICT spread, float* HWY_RESTRICT floor) {
  const F32 d;
  const auto slope_factor = hn::Set(d, scaling.slope);
  const auto contribution_factor = hn::Set(d, scaling.contribution);
  const auto floor_of_slope = hn::Set(d, scaling.floor_of_slope);
  const auto floor_of_offset = hn::Set(d, scaling.floor_of_offset);
  const auto least_floor = hn::Set(d, scaling.floor);
  for (std::size_t j = 0; j < columns; j += hn::Lanes(d)) {
    const auto weight = hn::LoadU(d, weights + j);
    const auto norm = hn::LoadU(d, norms + j);
    const auto contribution = hn::Mul(hn::Mul(weight, contribution_factor), norm);
    const auto slopes = hn::Mul(weight, slope_factor);
    const auto offsets = hn::Mul(contribution, contribution);
    const auto error =
        hn::MulAdd(floor_of_slope, slopes, hn::MulAdd(floor_of_offset, offsets, least_floor));
    hn::StoreU(slopes, d, slope + j);
    hn::StoreU(offsets, d, offset + j);
    hn::StoreU(hn::Mul(slopes, norm), d, spread + j);
    hn::StoreU(hn::IfThenElseZero(hn::Gt(weight, hn::Zero(d)), error), d, floor + j);
  }
}

void cosine_terms(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT inverse_norms,
                  const float* HWY_RESTRICT floors, std::size_t columns, float* HWY_RESTRICT slope,
                  float* HWY_RESTRICT offset, float* HWY_RESTRICT spread,
                  float* HWY_RESTRICT floor) {
  const F32 d;
  const auto zero = hn::Zero(d);
  const auto one = hn::Set(d, 1.0f);
  for (std::size_t j = 0; j < columns; j += hn::Lanes(d)) {
    const auto weighed = hn::Gt(hn::LoadU(d, weights + j), zero);
    const auto inverse = hn::IfThenElseZero(weighed, hn::LoadU(d, inverse_norms + j));
    hn::StoreU(inverse, d, slope + j);
    hn::StoreU(zero, d, offset + j);
    hn::StoreU(hn::IfThenElseZero(hn::Gt(inverse, zero), one), d, spread + j);
    hn::StoreU(hn::IfThenElseZero(weighed, hn::LoadU(d, floors + j)), d, floor + j);
  }
}

ScoreExtremes bound_scores(const float* HWY_RESTRICT slope, const float* HWY_RESTRICT offset,
                           const float* HWY_RESTRICT spread, const float* HWY_RESTRICT floor,
                           const float* HWY_RESTRICT sums, float scale, float spread_scale,
                           const std::int32_t* HWY_RESTRICT rank, std::int32_t set_size,
                           std::size_t columns, float* HWY_RESTRICT low, float* HWY_RESTRICT high) {
  const F32 d;
  const auto factor = hn::Set(d, scale);
  const auto spread_factor = hn::Set(d, spread_scale);
  const auto size = hn::Set(I32(), set_size);
  const auto largest = hn::Set(d, std::numeric_limits<float>::infinity());
  const auto smallest = hn::Neg(largest);
  auto selected_low = largest;
  auto selected_high = largest;
  auto unselected_low = smallest;
  auto unselected_high = smallest;
  for (std::size_t j = 0; j < columns; j += hn::Lanes(d)) {
    const auto score = hn::MulSub(hn::LoadU(d, slope + j), hn::Mul(factor, hn::LoadU(d, sums + j)),
                                  hn::LoadU(d, offset + j));
    const auto error = hn::MulAdd(spread_factor, hn::LoadU(d, spread + j), hn::LoadU(d, floor + j));
    const auto from = hn::Sub(score, error);
    const auto to = hn::Add(score, error);
    hn::StoreU(from, d, low + j);
    hn::StoreU(to, d, high + j);
    const auto selected = selected_columns(rank + j, size);
    selected_low = hn::Min(selected_low, hn::IfThenElse(selected, from, largest));
    selected_high = hn::Min(selected_high, hn::IfThenElse(selected, to, largest));
    unselected_low = hn::Max(unselected_low, hn::IfThenElse(selected, smallest, from));
    unselected_high = hn::Max(unselected_high, hn::IfThenElse(selected, smallest, to));
  }
  return {hn::GetLane(hn::MinOfLanes(d, selected_low)),
          hn::GetLane(hn::MinOfLanes(d, selected_high)),
          hn::GetLane(hn::MaxOfLanes(d, unselected_low)),
          hn::GetLane(hn::MaxOfLanes(d, unselected_high))};
}

std::size_t collect_columns(const float* HWY_RESTRICT low, const float* HWY_RESTRICT high,
                            const std::int32_t* HWY_RESTRICT rank, std::int32_t set_size,
                            std::size_t columns, ScoreRange selected, ScoreRange unselected,
                            std::uint32_t* HWY_RESTRICT found) {
  const F32 d;
  const U32 du;
  const auto size = hn::Set(I32(), set_size);
  const auto selected_from = hn::Set(d, selected.from);
  const auto selected_to = hn::Set(d, selected.to);
  const auto unselected_from = hn::Set(d, unselected.from);
  const auto unselected_to = hn::Set(d, unselected.to);
  std::size_t count = 0;
  for (std::size_t j = 0; j < columns; j += hn::Lanes(d)) {
    const auto in_selection = selected_columns(rank + j, size);
    const auto from = hn::IfThenElse(in_selection, selected_from, unselected_from);
    const auto to = hn::IfThenElse(in_selection, selected_to, unselected_to);
    const auto meets = hn::RebindMask(
        du, hn::And(hn::Ge(hn::LoadU(d, high + j), from), hn::Le(hn::LoadU(d, low + j), to)));
    if (hn::AllFalse(du, meets)) continue;
    const auto column = hn::Iota(du, static_cast<std::uint32_t>(j));
    hn::StoreU(hn::Compress(column, meets), du, found + count);
    count += hn::CountTrue(du, meets);
  }
  return count;
}

CountBounds count_bounds(const float* HWY_RESTRICT low, const float* HWY_RESTRICT high,
                         const std::int32_t* HWY_RESTRICT rank, std::int32_t set_size,
                         std::size_t columns, ScoreRange smallest, ScoreRange largest) {
  const F32 d;
  const auto size = hn::Set(I32(), set_size);
  const auto smallest_from = hn::Set(d, smallest.from);
  const auto smallest_to = hn::Set(d, smallest.to);
  const auto largest_from = hn::Set(d, largest.from);
  const auto largest_to = hn::Set(d, largest.to);
  CountBounds counts;
  for (std::size_t j = 0; j < columns; j += hn::Lanes(d)) {
    const auto selected = selected_columns(rank + j, size);
    const auto from = hn::LoadU(d, low + j);
    const auto to = hn::LoadU(d, high + j);
    counts.sure_contaminating += hn::CountTrue(d, hn::AndNot(selected, hn::Ge(from, smallest_to)));
    counts.possible_contaminating +=
        hn::CountTrue(d, hn::AndNot(selected, hn::Ge(to, smallest_from)));
    counts.sure_clear += hn::CountTrue(d, hn::And(selected, hn::Gt(from, largest_to)));
    counts.possible_clear += hn::CountTrue(d, hn::And(selected, hn::Gt(to, largest_from)));
  }
  return counts;
}

/// How many of ascending values are at most x, for each lane; their number is a power of two.
class AscendingValues {
 public:
  AscendingValues(const float* HWY_RESTRICT values, std::size_t count)
      : values_(values), blocks_(std::min(count, hn::Lanes(F32()))), stride_(count / blocks_) {
    HWY_ALIGN float ends[kColumnBlock] = {};
    for (std::size_t b = 0; b < blocks_; ++b) ends[b] = values[(b + 1) * stride_ - 1];
    ends_ = hn::Load(F32(), ends);
    last_ = hn::Set(F32(), values[count - 1]);
  }

  /// Binary search: for the block in a register, inside it with gathers, which are slow.
  HWY_INLINE hn::Vec<I32> count_at_most(hn::Vec<F32> x) const {
    const F32 d;
    const I32 di;
    auto found = hn::Zero(di);
    const auto advance = [&](hn::Vec<F32> value, std::size_t step) {
      const auto next = hn::Add(found, hn::Set(di, static_cast<std::int32_t>(step)));
      return hn::IfThenElse(hn::RebindMask(di, hn::Le(value, x)), next, found);
    };
    for (std::size_t half = blocks_ / 2; half > 0; half /= 2) {
      const auto place = hn::Add(found, hn::Set(di, static_cast<std::int32_t>(half) - 1));
      found = advance(hn::TableLookupLanes(ends_, hn::IndicesFromVec(d, place)), half);
    }
    found = hn::Mul(found, hn::Set(di, static_cast<std::int32_t>(stride_)));
    for (std::size_t half = stride_ / 2; half > 0; half /= 2) {
      found = advance(hn::GatherIndex(d, values_ + half - 1, found), half);
    }
    return advance(last_, 1);
  }

 private:
  const float* values_;
  std::size_t blocks_, stride_;
  hn::Vec<F32> ends_, last_;
};

InversionBounds bound_inversions(const float* HWY_RESTRICT ascending_high,
                                 const float* HWY_RESTRICT least_low, std::size_t selected,
                                 const float* HWY_RESTRICT low, const float* HWY_RESTRICT high,
                                 std::size_t columns, std::uint32_t* HWY_RESTRICT open) {
  const F32 d;
  const I32 di;
  const U32 du;
  const AscendingValues highs(ascending_high, selected);
  constexpr std::size_t kFlush = 4096;  // lanes of 32 bits do not overflow in between
  InversionBounds bounds;
  HWY_ALIGN std::int32_t lanes[kColumnBlock] = {};
  for (std::size_t first = 0; first < columns; first += kFlush) {
    const std::size_t end = std::min(columns, first + kFlush);
    auto sum = hn::Zero(di);
    for (std::size_t j = first; j < end; j += hn::Lanes(d)) {
      const auto sure = highs.count_at_most(hn::LoadU(d, low + j));
      sum = hn::Add(sum, sure);
      // Those that end after `low` are no sure pairs, but one may be if the first to begin does so
      // up to `high`.
      const auto next = hn::GatherIndex(d, least_low, sure);
      const auto more = hn::RebindMask(du, hn::Le(next, hn::LoadU(d, high + j)));
      if (hn::AllFalse(du, more)) continue;
      const auto column = hn::Iota(du, static_cast<std::uint32_t>(j));
      hn::StoreU(hn::Compress(column, more), du, open + bounds.open);
      bounds.open += hn::CountTrue(du, more);
    }
    hn::StoreU(sum, di, lanes);
    for (std::size_t k = 0; k < hn::Lanes(di); ++k) {
      bounds.sure += static_cast<std::uint64_t>(lanes[k]);
    }
  }
  return bounds;
}

std::size_t collect_open_pairs(const float* HWY_RESTRICT selected_low,
                               const float* HWY_RESTRICT selected_high, std::size_t selected,
                               ScoreRange candidate, std::uint32_t* HWY_RESTRICT found) {
  const F32 d;
  const U32 du;
  const auto from = hn::Set(d, candidate.from);
  const auto to = hn::Set(d, candidate.to);
  std::size_t count = 0;
  for (std::size_t i = 0; i < selected; i += hn::Lanes(d)) {
    const auto open = hn::RebindMask(du, hn::And(hn::Le(hn::LoadU(d, selected_low + i), to),
                                                 hn::Gt(hn::LoadU(d, selected_high + i), from)));
    if (hn::AllFalse(du, open)) continue;
    const auto position = hn::Iota(du, static_cast<std::uint32_t>(i));
    hn::StoreU(hn::Compress(position, open), du, found + count);
    count += hn::CountTrue(du, open);
  }
  return count;
}

}  // namespace
}  // namespace toplens::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(euclidean_terms);
HWY_EXPORT(cosine_terms);
HWY_EXPORT(bound_scores);
HWY_EXPORT(collect_columns);
HWY_EXPORT(count_bounds);
HWY_EXPORT(bound_inversions);
HWY_EXPORT(collect_open_pairs);

void ScoreTerms::resize(std::size_t columns) {
  for (AlignedVector<float>* array : {&slope, &offset, &spread, &floor}) array->resize(columns);
}

void euclidean_terms(const float* weights, const float* norms, const EuclideanScaling& scaling,
                     std::size_t columns, ScoreTerms& terms) {
  terms.resize(columns);
  HWY_DYNAMIC_DISPATCH(euclidean_terms)
  (weights, norms, scaling, columns, terms.slope.data(), terms.offset.data(), terms.spread.data(),
   terms.floor.data());
}

void cosine_terms(const float* weights, const float* inverse_norms, const float* floors,
                  std::size_t columns, ScoreTerms& terms) {
  terms.resize(columns);
  HWY_DYNAMIC_DISPATCH(cosine_terms)
  (weights, inverse_norms, floors, columns, terms.slope.data(), terms.offset.data(),
   terms.spread.data(), terms.floor.data());
}

ScoreExtremes bound_scores(const ScoreTerms& terms, const float* sums, float scale,
                           float spread_scale, const std::int32_t* rank, std::int32_t set_size,
                           std::size_t columns, float* low, float* high) {
  assert(columns % kColumnBlock == 0 && terms.slope.size() >= columns);
  return HWY_DYNAMIC_DISPATCH(bound_scores)(terms.slope.data(), terms.offset.data(),
                                            terms.spread.data(), terms.floor.data(), sums, scale,
                                            spread_scale, rank, set_size, columns, low, high);
}

std::size_t collect_columns(const float* low, const float* high, const std::int32_t* rank,
                            std::int32_t set_size, std::size_t columns, ScoreRange selected,
                            ScoreRange unselected, std::uint32_t* found) {
  return HWY_DYNAMIC_DISPATCH(collect_columns)(low, high, rank, set_size, columns, selected,
                                               unselected, found);
}

CountBounds count_bounds(const float* low, const float* high, const std::int32_t* rank,
                         std::int32_t set_size, std::size_t columns, ScoreRange smallest,
                         ScoreRange largest) {
  return HWY_DYNAMIC_DISPATCH(count_bounds)(low, high, rank, set_size, columns, smallest, largest);
}

InversionBounds bound_inversions(const float* ascending_high, const float* least_low,
                                 std::size_t selected, const float* low, const float* high,
                                 std::size_t columns, std::uint32_t* open) {
  assert(columns % kColumnBlock == 0 && std::has_single_bit(selected));
  return HWY_DYNAMIC_DISPATCH(bound_inversions)(ascending_high, least_low, selected, low, high,
                                                columns, open);
}

std::size_t collect_open_pairs(const float* selected_low, const float* selected_high,
                               std::size_t selected, ScoreRange candidate, std::uint32_t* found) {
  return HWY_DYNAMIC_DISPATCH(collect_open_pairs)(selected_low, selected_high, selected, candidate,
                                                  found);
}

}  // namespace toplens
#endif  // HWY_ONCE
