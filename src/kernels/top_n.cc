#include "kernels/top_n.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <type_traits>

#include <hwy/contrib/sort/vqsort.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/top_n.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#ifndef TOPLENS_TOP_N_ONCE
#define TOPLENS_TOP_N_ONCE
namespace toplens {

/// A vector never has more lanes than this; arrays that kernels read are padded by as many.
inline constexpr std::size_t kMostLanes = 64;

template <typename T>
using BitsOf = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

/// Unsigned integers in the order of the floating-point numbers; both zeros are the same.
template <typename T>
inline BitsOf<T> sortable(T score) {
  constexpr BitsOf<T> sign = BitsOf<T>{1} << (8 * sizeof(T) - 1);
  const auto bits = std::bit_cast<BitsOf<T>>(score + T{0});
  return (bits & sign) != 0 ? ~bits : bits | sign;
}

template <typename T>
inline T from_sortable(BitsOf<T> key) {
  constexpr BitsOf<T> sign = BitsOf<T>{1} << (8 * sizeof(T) - 1);
  return std::bit_cast<T>((key & sign) != 0 ? key ^ sign : ~key);
}

/// One integer that orders by descending score, then by ascending index, and gives both back.
inline std::uint64_t pack(float score, std::uint32_t index) {
  return std::uint64_t{sortable(score)} << 32 | static_cast<std::uint32_t>(~index);
}
inline hwy::uint128_t pack(double score, std::uint32_t index) {
  hwy::uint128_t key;
  key.hi = sortable(score);
  key.lo = static_cast<std::uint32_t>(~index);
  return key;
}
inline std::uint32_t index_of(std::uint64_t key) { return ~static_cast<std::uint32_t>(key); }
inline std::uint32_t index_of(const hwy::uint128_t& key) {
  return ~static_cast<std::uint32_t>(key.lo);
}

template <typename T>
using PackedKey = decltype(pack(T(), 0u));

}  // namespace toplens
#endif  // TOPLENS_TOP_N_ONCE

HWY_BEFORE_NAMESPACE();
namespace toplens::HWY_NAMESPACE {
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

/// Indices of the scores at (`equal`) or above the threshold, increasing, at most `limit` of them
/// plus a vector's worth that the caller ignores.
template <bool equal, typename T>
std::size_t pack_indices(const T* HWY_RESTRICT scores, std::size_t count, T threshold,
                         std::size_t limit, std::uint32_t* HWY_RESTRICT indices) {
  const hn::ScalableTag<T> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<std::uint32_t, decltype(d)> d32;
  const std::size_t lanes = hn::Lanes(d);
  const auto at = hn::Set(d, threshold);
  auto index = hn::Iota(du, 0);
  const auto step = hn::Set(du, static_cast<BitsOf<T>>(lanes));
  std::size_t packed = 0;
  std::size_t i = 0;
  for (; i + lanes <= count && packed < limit; i += lanes) {
    const auto score = hn::LoadU(d, scores + i);
    const auto mask = hn::RebindMask(du, equal ? hn::Eq(score, at) : hn::Ge(score, at));
    if (!hn::AllFalse(du, mask)) {
      // A compress in the register and a whole store: compressing into memory is slow on Zen.
      const auto chosen = hn::Compress(index, mask);
      if constexpr (sizeof(T) == 4) {
        hn::StoreU(chosen, d32, indices + packed);
      } else {
        hn::StoreU(hn::TruncateTo(d32, chosen), d32, indices + packed);
      }
      packed += hn::CountTrue(du, mask);
    }
    index = hn::Add(index, step);
  }
  for (; i < count && packed < limit; ++i) {
    if (equal ? scores[i] == threshold : scores[i] >= threshold) {
      indices[packed++] = static_cast<std::uint32_t>(i);
    }
  }
  return std::min(packed, limit);
}

/// Writes the `wanted` highest scores' indices in no particular order; needs room for a vector
/// beyond them.
template <typename T>
void select_highest(const T* scores, std::size_t count, std::size_t wanted,
                    std::uint32_t* indices) {
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
  const T threshold = from_sortable<T>(low);
  if (at_low == wanted) {
    pack_indices<false>(scores, count, threshold, wanted, indices);
    return;
  }
  // More tokens tie at the threshold than fit: those of the lowest index.
  std::size_t above = 0;
  if (low < sortable(highest)) {
    above = pack_indices<false>(scores, count, from_sortable<T>(low + 1), wanted, indices);
  }
  pack_indices<true>(scores, count, threshold, wanted - above, indices + above);
}

void select_highest_f32(const float* scores, std::size_t count, std::size_t wanted,
                        std::uint32_t* indices) {
  select_highest(scores, count, wanted, indices);
}
void select_highest_f64(const double* scores, std::size_t count, std::size_t wanted,
                        std::uint32_t* indices) {
  select_highest(scores, count, wanted, indices);
}

}  // namespace
}  // namespace toplens::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(select_highest_f32);
HWY_EXPORT(select_highest_f64);

struct TopN::Scratch {
  AlignedVector<std::uint32_t> indices;
  AlignedVector<PackedKey<float>> float_keys;
  AlignedVector<PackedKey<double>> double_keys;
  hwy::Sorter sorter;
};

TopN::TopN() : scratch_(std::make_unique<Scratch>()) {}
TopN::~TopN() = default;
TopN::TopN(TopN&&) noexcept = default;

namespace {

template <typename T>
void sort_selected(std::span<const T> scores, const AlignedVector<std::uint32_t>& indices,
                   AlignedVector<PackedKey<T>>& keys, const hwy::Sorter& sorter,
                   std::span<std::uint32_t> order) {
  keys.resize(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) keys[i] = pack(scores[indices[i]], indices[i]);
  sorter(keys.data(), keys.size(), hwy::SortDescending());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = index_of(keys[i]);
}

}  // namespace

void TopN::select(std::span<const float> scores, std::span<std::uint32_t> order) {
  assert(order.size() <= scores.size());
  if (order.empty()) return;
  scratch_->indices.resize(order.size() + kMostLanes);
  HWY_DYNAMIC_DISPATCH(select_highest_f32)
  (scores.data(), scores.size(), order.size(), scratch_->indices.data());
  sort_selected(scores, scratch_->indices, scratch_->float_keys, scratch_->sorter, order);
}

void TopN::select(std::span<const double> scores, std::span<std::uint32_t> order) {
  assert(order.size() <= scores.size());
  if (order.empty()) return;
  scratch_->indices.resize(order.size() + kMostLanes);
  HWY_DYNAMIC_DISPATCH(select_highest_f64)
  (scores.data(), scores.size(), order.size(), scratch_->indices.data());
  sort_selected(scores, scratch_->indices, scratch_->double_keys, scratch_->sorter, order);
}

}  // namespace toplens
#endif  // HWY_ONCE
