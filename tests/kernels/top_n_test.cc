#include "kernels/top_n.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "support/simd_targets.h"

namespace toplens {
namespace {

using testing::for_each_target;

template <typename T>
void expect_a_full_sort(const std::vector<T>& scores, const std::vector<std::size_t>& counts) {
  std::vector<std::uint32_t> expected(scores.size());
  std::iota(expected.begin(), expected.end(), 0u);
  std::stable_sort(expected.begin(), expected.end(),
                   [&](auto a, auto b) { return scores[a] > scores[b]; });
  TopN top_n;
  for (const std::size_t count : counts) {
    if (count > scores.size()) continue;
    std::vector<std::uint32_t> found(count + 1, 77777u);
    top_n.select(std::span<const T>(scores), std::span(found).first(count));
    ASSERT_TRUE(std::equal(found.begin(), found.end() - 1, expected.begin()))
        << count << " of " << scores.size();
    ASSERT_EQ(found.back(), 77777u) << "wrote beyond the order";
  }
}

template <typename T>
class TopNOf : public ::testing::Test {};
using Numbers = ::testing::Types<float, double>;
TYPED_TEST_SUITE(TopNOf, Numbers);

TYPED_TEST(TopNOf, EqualsAFullSortOnEveryTarget) {
  using T = TypeParam;
  constexpr T kLargest = std::numeric_limits<T>::max();
  constexpr T kSubnormal = std::numeric_limits<T>::denorm_min();
  for_each_target([] {
    Random random(5);
    for (const std::size_t tokens : {1u, 2u, 15u, 16u, 17u, 64u, 101u, 1024u, 3001u}) {
      const std::vector<std::size_t> counts = {0,  1,   2,   3,    16,         17,         33,
                                               64, 255, 256, 1000, tokens - 1, tokens / 2, tokens};
      std::vector<T> reals(tokens), integers(tokens), zeros(tokens), equal(tokens, T(0.125));
      std::vector<T> extremes(tokens);
      const std::vector<T> pool = {T(0.0),   T(-0.0),   kSubnormal, -kSubnormal,
                                   kLargest, -kLargest, T(1.0),     T(-1.0)};
      for (std::size_t i = 0; i < tokens; ++i) {
        reals[i] = static_cast<T>(random.uniform() - 0.25);
        integers[i] = static_cast<T>(random.below(9)) - T(4);
        zeros[i] = random.below(2) == 0 ? T(0.0) : T(-0.0);
        extremes[i] = pool[random.below(pool.size())];
      }
      for (const auto& scores : {reals, integers, zeros, equal, extremes}) {
        expect_a_full_sort(scores, counts);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  });
}

}  // namespace
}  // namespace toplens
