#include "kernels/top_n.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <type_traits>
#include <vector>

// Arrays of vectors do not exist on targets whose vector size is unknown to the compiler.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/top_n.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>
//
#include "kernels/threshold-inl.h"

#ifndef TOPLENS_TOP_N_ONCE
#define TOPLENS_TOP_N_ONCE
namespace toplens {

/// A vector never has more lanes than this; arrays that kernels read are padded by as many.
inline constexpr std::size_t kMostLanes = 64;

/// Up to so many scores are put in order by counting, for each, those that go before it.
inline constexpr std::size_t kMostCounted = 128;

}  // namespace toplens
#endif  // TOPLENS_TOP_N_ONCE

HWY_BEFORE_NAMESPACE();
namespace toplens::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

enum class Keep { at_least, equal, below };

template <Keep keep, typename D, typename V>
HWY_INLINE hn::Mask<D> kept(D /*d*/, V score, V threshold) {
  if constexpr (keep == Keep::at_least) return hn::Ge(score, threshold);
  if constexpr (keep == Keep::equal) return hn::Eq(score, threshold);
  return hn::Lt(score, threshold);
}
template <Keep keep, typename T>
bool kept_alone(T score, T threshold) {
  if constexpr (keep == Keep::at_least) return score >= threshold;
  if constexpr (keep == Keep::equal) return score == threshold;
  return score < threshold;
}

/// Indices of the scores that `keep` says, increasing, at most `limit` of them plus a vector's
/// worth that the caller ignores.
template <Keep keep, typename T>
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
    const auto mask = hn::RebindMask(du, kept<keep>(d, score, at));
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
    if (kept_alone<keep>(scores[i], threshold)) {
      indices[packed++] = static_cast<std::uint32_t>(i);
    }
  }
  return std::min(packed, limit);
}

/// Writes the `wanted` highest scores' indices, those above the lowest score before those at it,
/// each increasing; needs room for a vector beyond them.
template <typename T>
void select_highest(const T* scores, std::size_t count, std::size_t wanted,
                    std::uint32_t* indices) {
  const Threshold<T> threshold = find_threshold(scores, count, wanted);
  if (threshold.reached == wanted) {
    pack_indices<Keep::at_least>(scores, count, threshold.score, wanted, indices);
    return;
  }
  // More tokens tie at the threshold than fit: those of the lowest index.
  std::size_t above = 0;
  if (threshold.score < threshold.highest) {
    const T next = from_sortable<T>(sortable(threshold.score) + 1);
    above = pack_indices<Keep::at_least>(scores, count, next, wanted, indices);
  }
  pack_indices<Keep::equal>(scores, count, threshold.score, wanted - above, indices + above);
}

/// Splits scores near the middle: the indices of the higher and of the lower part. Returns the
/// number of higher ones, which is `count` where ties allow nothing else.
template <typename T>
std::size_t split_in_half(const T* scores, std::size_t count, std::uint32_t* higher,
                          std::uint32_t* lower) {
  const Threshold<T> threshold = find_threshold(scores, count, count / 2);
  pack_indices<Keep::at_least>(scores, count, threshold.score, count, higher);
  pack_indices<Keep::below>(scores, count, threshold.score, count, lower);
  return threshold.reached;
}

void select_highest_f32(const float* scores, std::size_t count, std::size_t wanted,
                        std::uint32_t* indices) {
  select_highest(scores, count, wanted, indices);
}
void select_highest_f64(const double* scores, std::size_t count, std::size_t wanted,
                        std::uint32_t* indices) {
  select_highest(scores, count, wanted, indices);
}

/// ranks[i] = the number of scores that go before score i. The scores go on for a vector beyond
/// `count`, -infinity all; so do the ranks, which mean nothing there.
template <typename T>
void count_before(const T* HWY_RESTRICT scores, std::size_t count,
                  std::uint32_t* HWY_RESTRICT ranks) {
  const hn::ScalableTag<T> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<std::uint32_t, decltype(d)> d32;
  const std::size_t lanes = hn::Lanes(d);
  const auto lane = hn::Iota(di, 0);
  for (std::size_t i = 0; i < count; i += lanes) {
    const auto own = hn::LoadU(d, scores + i);
    hn::Vec<decltype(di)> before[2] = {hn::Zero(di), hn::Zero(di)};
    const auto add = [&](std::size_t k, auto mask) {  // a mask as an integer is -1 where it holds
      before[k % 2] = hn::Sub(before[k % 2], hn::VecFromMask(di, hn::RebindMask(di, mask)));
    };
    // Of equal scores the one of the lower index goes first.
    std::size_t k = 0;
    for (; k + 2 <= i; k += 2) {
      add(0, hn::Ge(hn::Set(d, scores[k]), own));
      add(1, hn::Ge(hn::Set(d, scores[k + 1]), own));
    }
    for (; k < i; ++k) add(0, hn::Ge(hn::Set(d, scores[k]), own));
    for (; k < i + lanes; ++k) {
      using Lane = hn::TFromD<decltype(di)>;
      const auto later = hn::RebindMask(d, hn::Gt(lane, hn::Set(di, static_cast<Lane>(k - i))));
      const auto other = hn::Set(d, scores[k]);
      add(0, hn::Or(hn::Gt(other, own), hn::And(hn::Eq(other, own), later)));
    }
    for (; k + 2 <= count; k += 2) {
      add(0, hn::Gt(hn::Set(d, scores[k]), own));
      add(1, hn::Gt(hn::Set(d, scores[k + 1]), own));
    }
    for (; k < count; ++k) add(0, hn::Gt(hn::Set(d, scores[k]), own));
    const auto total = hn::BitCast(du, hn::Add(before[0], before[1]));
    if constexpr (sizeof(T) == 4) {
      hn::StoreU(total, d32, ranks + i);
    } else {
      hn::StoreU(hn::TruncateTo(d32, total), d32, ranks + i);
    }
  }
}

void count_before_f32(const float* scores, std::size_t count, std::uint32_t* ranks) {
  count_before(scores, count, ranks);
}
void count_before_f64(const double* scores, std::size_t count, std::uint32_t* ranks) {
  count_before(scores, count, ranks);
}

std::size_t split_in_half_f32(const float* scores, std::size_t count, std::uint32_t* higher,
                              std::uint32_t* lower) {
  return split_in_half(scores, count, higher, lower);
}
std::size_t split_in_half_f64(const double* scores, std::size_t count, std::uint32_t* higher,
                              std::uint32_t* lower) {
  return split_in_half(scores, count, higher, lower);
}

}  // namespace
}  // namespace toplens::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(select_highest_f32);
HWY_EXPORT(select_highest_f64);
HWY_EXPORT(split_in_half_f32);
HWY_EXPORT(split_in_half_f64);
HWY_EXPORT(count_before_f32);
HWY_EXPORT(count_before_f64);

namespace {

void select_highest(std::span<const float> scores, std::size_t wanted, std::uint32_t* indices) {
  HWY_DYNAMIC_DISPATCH(select_highest_f32)(scores.data(), scores.size(), wanted, indices);
}
void select_highest(std::span<const double> scores, std::size_t wanted, std::uint32_t* indices) {
  HWY_DYNAMIC_DISPATCH(select_highest_f64)(scores.data(), scores.size(), wanted, indices);
}
std::size_t split_in_half(std::span<const float> scores, std::uint32_t* higher,
                          std::uint32_t* lower) {
  return HWY_DYNAMIC_DISPATCH(split_in_half_f32)(scores.data(), scores.size(), higher, lower);
}
std::size_t split_in_half(std::span<const double> scores, std::uint32_t* higher,
                          std::uint32_t* lower) {
  return HWY_DYNAMIC_DISPATCH(split_in_half_f64)(scores.data(), scores.size(), higher, lower);
}

void count_before(const float* scores, std::size_t count, std::uint32_t* ranks) {
  HWY_DYNAMIC_DISPATCH(count_before_f32)(scores, count, ranks);
}
void count_before(const double* scores, std::size_t count, std::uint32_t* ranks) {
  HWY_DYNAMIC_DISPATCH(count_before_f64)(scores, count, ranks);
}

/// Some tokens of a row in increasing order where scores tie, to be put in order.
template <typename T>
struct Block {
  AlignedVector<T> scores;
  AlignedVector<std::uint32_t> tokens;
};

}  // namespace

/// What one number type needs.
template <typename T>
struct Selection {
  AlignedVector<std::uint32_t> higher, lower, ranks;
  std::vector<Block<T>> blocks;  // by depth

  void select(std::span<const T> scores, std::span<std::uint32_t> order) {
    if (order.empty()) return;
    higher.resize(order.size() + kMostLanes);
    lower.resize(order.size() + kMostLanes);
    ranks.resize(order.size() + kMostLanes);
    if (blocks.empty()) blocks.resize(1);
    select_highest(scores, order.size(), higher.data());
    Block<T>& block = blocks[0];
    block.tokens.assign(higher.begin(), higher.begin() + order.size());
    block.scores.resize(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) block.scores[i] = scores[block.tokens[i]];
    sort(0, order);
  }

  /// The tokens of blocks[depth] into `order`.
  void sort(std::size_t depth, std::span<std::uint32_t> order) {
    const std::size_t count = order.size();
    if (count > kMostCounted) {
      const std::size_t num_higher =
          split_in_half(std::span<const T>(blocks[depth].scores), higher.data(), lower.data());
      if (num_higher < count) {
        if (blocks.size() < depth + 3) blocks.resize(depth + 3);
        take(depth, std::span(higher).first(num_higher), depth + 1);
        take(depth, std::span(lower).first(count - num_higher), depth + 2);
        // The lower part waits where sorting the higher one does not come.
        std::swap(blocks[depth], blocks[depth + 2]);
        sort(depth + 1, order.first(num_higher));
        sort(depth, order.subspan(num_higher));
        return;
      }
    }
    Block<T>& block = blocks[depth];
    block.scores.resize(count + kMostLanes, -std::numeric_limits<T>::infinity());
    count_before(block.scores.data(), count, ranks.data());
    for (std::size_t i = 0; i < count; ++i) order[ranks[i]] = block.tokens[i];
  }

  void take(std::size_t from, std::span<const std::uint32_t> positions, std::size_t to) {
    Block<T>& block = blocks[to];
    block.scores.resize(positions.size());
    block.tokens.resize(positions.size());
    for (std::size_t i = 0; i < positions.size(); ++i) {
      block.scores[i] = blocks[from].scores[positions[i]];
      block.tokens[i] = blocks[from].tokens[positions[i]];
    }
  }
};

struct TopN::Scratch {
  Selection<float> floats;
  Selection<double> doubles;
};

TopN::TopN() : scratch_(std::make_unique<Scratch>()) {}
TopN::~TopN() = default;
TopN::TopN(TopN&&) noexcept = default;

void TopN::select(std::span<const float> scores, std::span<std::uint32_t> order) {
  assert(order.size() <= scores.size());
  scratch_->floats.select(scores, order);
}

void TopN::select(std::span<const double> scores, std::span<std::uint32_t> order) {
  assert(order.size() <= scores.size());
  scratch_->doubles.select(scores, order);
}

}  // namespace toplens
#endif  // HWY_ONCE
