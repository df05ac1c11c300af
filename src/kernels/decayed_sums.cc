#include "kernels/decayed_sums.h"

#include <cassert>

// Arrays of vectors do not exist on targets whose vector size is unknown to the compiler.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/decayed_sums.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace toplens::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using F64 = hn::CappedTag<double, 8>;

constexpr std::size_t kChoices = 8;
constexpr std::size_t kVectors = kChoices / hn::MaxLanes(F64());

/// Running sums over the tokens passed, for eight choices.
class Running {
 public:
  Running(const DecayedSums& input, std::size_t first_choice)
      : constant_(hn::Set(F64(), input.constant)),
        amplitude_(hn::Set(F64(), input.amplitude)),
        step_(hn::Set(F64(), input.step)) {
    for (std::size_t v = 0; v < kVectors; ++v) {
      set_sizes_[v] = hn::LoadU(F64(), input.set_sizes + first_choice + v * hn::Lanes(F64()));
      totals_[v] = decayed_[v] = hn::Zero(F64());
    }
  }
  /// What vector v of a token's sums is, of the tokens passed before it.
  HWY_INLINE hn::Vec<F64> sum(std::size_t v) const {
    return hn::MulAdd(constant_, totals_[v], hn::Mul(amplitude_, decayed_[v]));
  }
  HWY_INLINE void pass(double contribution, std::uint32_t rank) {
    const F64 d;
    const auto own = hn::Set(d, contribution);
    const auto own_rank = hn::Set(d, static_cast<double>(rank));
    for (std::size_t v = 0; v < kVectors; ++v) {
      const auto added = hn::IfThenElseZero(hn::Lt(own_rank, set_sizes_[v]), own);
      totals_[v] = hn::Add(totals_[v], added);
      // Includes the decay to the next token, which reads it.
      decayed_[v] = hn::Mul(step_, hn::Add(decayed_[v], added));
    }
  }

 private:
  hn::Vec<F64> constant_, amplitude_, step_;
  hn::Vec<F64> set_sizes_[kVectors], totals_[kVectors], decayed_[kVectors];
};

void decayed_sums(const DecayedSums& input, double* HWY_RESTRICT sums) {
  const F64 d;
  for (std::size_t n = 0; n < input.choices; n += kChoices) {
    Running before(input, n);
    for (std::size_t i = 0; i < input.tokens; ++i) {
      double* const row = sums + i * input.choices + n;
      for (std::size_t v = 0; v < kVectors; ++v) {
        hn::StoreU(before.sum(v), d, row + v * hn::Lanes(d));
      }
      before.pass(input.contributions[i], input.ranks[i]);
    }
    Running after(input, n);
    for (std::size_t i = input.tokens; i-- > 0;) {
      double* const row = sums + i * input.choices + n;
      for (std::size_t v = 0; v < kVectors; ++v) {
        double* const to = row + v * hn::Lanes(d);
        hn::StoreU(hn::Add(hn::LoadU(d, to), after.sum(v)), d, to);
      }
      after.pass(input.contributions[i], input.ranks[i]);
    }
  }
}

}  // namespace
}  // namespace toplens::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(decayed_sums);

void decayed_sums(const DecayedSums& input, double* sums) {
  assert(input.choices % 8 == 0);
  HWY_DYNAMIC_DISPATCH(decayed_sums)(input, sums);
}

}  // namespace toplens
#endif  // HWY_ONCE
