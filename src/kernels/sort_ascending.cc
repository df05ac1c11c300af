#include "kernels/sort_ascending.h"

#include <algorithm>
#include <limits>

// Arrays of vectors do not exist on targets whose vector size is unknown to the compiler.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/sort_ascending.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace toplens::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// below[i] = number of values less than values[i].
void count_below(const float* HWY_RESTRICT values, std::size_t count,
                 std::int32_t* HWY_RESTRICT below) {
  const hn::CappedTag<float, 16> d;
  const hn::RebindToSigned<decltype(d)> di;
  constexpr std::size_t kVectors = 4;
  const std::size_t step = kVectors * hn::Lanes(d);
  const auto one = hn::Set(di, 1);
  for (std::size_t i = 0; i < count; i += step) {
    hn::Vec<decltype(d)> own[kVectors];
    hn::Vec<decltype(di)> found[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) {
      own[v] = hn::LoadU(d, values + i + v * hn::Lanes(d));
      found[v] = hn::Zero(di);
    }
    for (std::size_t k = 0; k < count; ++k) {
      const auto other = hn::Set(d, values[k]);
      for (std::size_t v = 0; v < kVectors; ++v) {
        const auto less = hn::RebindMask(di, hn::Lt(other, own[v]));
        found[v] = hn::IfThenElse(less, hn::Add(found[v], one), found[v]);
      }
    }
    for (std::size_t v = 0; v < kVectors; ++v) {
      hn::StoreU(found[v], di, below + i + v * hn::Lanes(d));
    }
  }
}

}  // namespace
}  // namespace toplens::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {
namespace {

HWY_EXPORT(count_below);

constexpr std::size_t kMostCounted = 512;
constexpr std::size_t kBlock = 64;

}  // namespace

std::span<const std::int32_t> FloatSorter::sort(std::span<float> values) {
  const std::size_t padded = (values.size() + kBlock - 1) / kBlock * kBlock;
  padded_.assign(padded, std::numeric_limits<float>::infinity());
  below_.resize(padded);
  std::copy(values.begin(), values.end(), padded_.begin());
  const std::span<const std::int32_t> places(below_.data(), values.size());
  if (values.size() > kMostCounted) {
    std::sort(values.begin(), values.end());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto place = std::lower_bound(values.begin(), values.end(), padded_[i]);
      below_[i] = static_cast<std::int32_t>(place - values.begin());
    }
    return places;
  }
  HWY_DYNAMIC_DISPATCH(count_below)(padded_.data(), padded, below_.data());
  // Equal values go to one place; the places up to the next value are theirs too.
  constexpr float kFree = std::numeric_limits<float>::quiet_NaN();
  std::fill(values.begin(), values.end(), kFree);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[static_cast<std::size_t>(below_[i])] = padded_[i];
  }
  for (std::size_t i = 1; i < values.size(); ++i) {
    if (values[i] != values[i]) values[i] = values[i - 1];
  }
  return places;
}

}  // namespace toplens
#endif  // HWY_ONCE
