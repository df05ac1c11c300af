#include "kernels/keep_highest.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "support/simd_targets.h"

namespace toplens {
namespace {

using testing::for_each_target;

/// The weights that a full sort keeps, the others 0.
std::vector<float> kept_by_sort(const std::vector<float>& weights, const std::vector<float>& scores,
                                std::size_t keep) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return scores[a] > scores[b]; });
  std::vector<float> kept(weights.size(), 0.0f);
  for (std::size_t i = 0; i < std::min(keep, order.size()); ++i) kept[order[i]] = weights[order[i]];
  return kept;
}

TEST(KeepHighest, KeepsWhatAFullSortKeepsOnEveryTarget) {
  for_each_target([] {
    Random random(11);
    for (const std::size_t tokens : {1u, 2u, 15u, 16u, 17u, 33u, 101u, 1024u, 3001u}) {
      std::vector<float> reals(tokens), few(tokens), zeros(tokens), half(tokens), weights(tokens);
      for (std::size_t i = 0; i < tokens; ++i) {
        weights[i] = static_cast<float>(i + 1);
        reals[i] = static_cast<float>(std::exp(8 * random.uniform()));
        few[i] = static_cast<float>(random.below(5));
        zeros[i] = random.below(2) == 0 ? 0.0f : -0.0f;
        half[i] = random.below(2) == 0 ? 0.0f : static_cast<float>(random.uniform() * 1e-38);
      }
      for (const auto& scores : {reals, few, zeros, half}) {
        for (const std::size_t keep :
             {std::size_t{1}, std::size_t{2}, std::size_t{16}, std::size_t{33}, tokens / 2,
              tokens - 1, tokens, tokens + 1}) {
          if (keep == 0) continue;
          std::vector<float> found = weights;
          keep_highest(found, scores, keep);
          ASSERT_EQ(found, kept_by_sort(weights, scores, keep)) << keep << " of " << tokens;
          // The scores may be the weights themselves.
          found = scores;
          keep_highest(found, found, keep);
          ASSERT_EQ(found, kept_by_sort(scores, scores, keep)) << keep << " of " << tokens;
        }
      }
    }
  });
}

TEST(ScaleToUnitSum, DividesByTheSumAndSaysWhereThereIsNone) {
  for_each_target([] {
    for (const std::size_t tokens : {1u, 16u, 77u}) {
      std::vector<float> weights(tokens, 0.0f);
      EXPECT_FALSE(scale_to_unit_sum(weights));
      weights[tokens / 2] = std::numeric_limits<float>::denorm_min();
      EXPECT_TRUE(scale_to_unit_sum(weights));
      EXPECT_EQ(weights[tokens / 2], 1.0f);
      std::fill(weights.begin(), weights.end(), 0.3f);
      EXPECT_TRUE(scale_to_unit_sum(weights));
      for (const float weight : weights) {
        EXPECT_NEAR(weight, 1.0 / static_cast<double>(tokens), 1e-7);
      }
    }
  });
}

}  // namespace
}  // namespace toplens
