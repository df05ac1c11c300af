#include "kernels/score_bounds.h"

#include <algorithm>
#include <bit>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "support/simd_targets.h"

namespace toplens {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Columns with few different scores and widths: ties, nested and touching intervals everywhere.
struct Columns {
  std::size_t count;
  std::int32_t set_size;
  ScoreTerms terms;
  std::vector<float> sums;
  std::vector<std::int32_t> rank;

  Columns(std::size_t count, std::int32_t set_size, Random& random)
      : count(count), set_size(set_size), sums(count), rank(count, kUnranked) {
    terms.resize(count);
    for (std::size_t j = 0; j < count; ++j) {
      sums[j] = static_cast<float>(random.below(9)) - 4.0f;
      terms.slope[j] = static_cast<float>(random.below(4));
      terms.offset[j] = static_cast<float>(random.below(5));
      terms.spread[j] = static_cast<float>(random.below(3));
      terms.floor[j] = static_cast<float>(random.below(2));
      // Also ranks that the set size leaves out.
      if (random.below(3) > 0) rank[j] = static_cast<std::int32_t>(random.below(count));
    }
    rank[1] = 0;
    rank[0] = kUnranked;
  }
  bool selected(std::size_t j) const { return rank[j] < set_size; }
};

TEST(ScoreBounds, EveryKernelEqualsItsPlainLoopOnEveryTarget) {
  testing::for_each_target([] {
    Random random(11);
    for (int round = 0; round < 100; ++round) {
      const std::size_t count = kColumnBlock * (1 + random.below(12));
      const Columns columns(count, static_cast<std::int32_t>(1 + random.below(count)), random);
      std::vector<float> low(count), high(count);
      const ScoreExtremes extremes =
          bound_scores(columns.terms, columns.sums.data(), 2.0f, 3.0f, columns.rank.data(),
                       columns.set_size, count, low.data(), high.data());
      ScoreExtremes expected{kInfinity, kInfinity, -kInfinity, -kInfinity};
      for (std::size_t j = 0; j < count; ++j) {
        const ScoreTerms& terms = columns.terms;
        const float score = terms.slope[j] * 2.0f * columns.sums[j] - terms.offset[j];
        const float error = 3.0f * terms.spread[j] + terms.floor[j];
        ASSERT_EQ(low[j], score - error);
        ASSERT_EQ(high[j], score + error);
        if (columns.selected(j)) {
          expected.selected_low = std::min(expected.selected_low, low[j]);
          expected.selected_high = std::min(expected.selected_high, high[j]);
        } else {
          expected.unselected_low = std::max(expected.unselected_low, low[j]);
          expected.unselected_high = std::max(expected.unselected_high, high[j]);
        }
      }
      ASSERT_EQ(extremes.selected_low, expected.selected_low);
      ASSERT_EQ(extremes.selected_high, expected.selected_high);
      ASSERT_EQ(extremes.unselected_low, expected.unselected_low);
      ASSERT_EQ(extremes.unselected_high, expected.unselected_high);

      const ScoreRange smallest{-3.0f, -2.0f}, largest{1.0f, 4.0f};
      const CountBounds bounds = count_bounds(low.data(), high.data(), columns.rank.data(),
                                              columns.set_size, count, smallest, largest);
      CountBounds counted;
      std::vector<std::uint32_t> meeting;
      for (std::size_t j = 0; j < count; ++j) {
        const bool selected = columns.selected(j);
        counted.sure_contaminating += !selected && low[j] >= smallest.to;
        counted.possible_contaminating += !selected && high[j] >= smallest.from;
        counted.sure_clear += selected && low[j] > largest.to;
        counted.possible_clear += selected && high[j] > largest.from;
        const ScoreRange range = selected ? largest : smallest;
        const auto column = static_cast<std::uint32_t>(j);
        if (high[j] >= range.from && low[j] <= range.to) meeting.push_back(column);
      }
      ASSERT_EQ(bounds.sure_contaminating, counted.sure_contaminating);
      ASSERT_EQ(bounds.possible_contaminating, counted.possible_contaminating);
      ASSERT_EQ(bounds.sure_clear, counted.sure_clear);
      ASSERT_EQ(bounds.possible_clear, counted.possible_clear);

      std::vector<std::uint32_t> found(count + kColumnBlock);
      found.resize(collect_columns(low.data(), high.data(), columns.rank.data(), columns.set_size,
                                   count, largest, smallest, found.data()));
      ASSERT_EQ(found, meeting);
    }
  });
}

TEST(ScoreBounds, InversionsEqualTheirPlainLoopOnEveryTarget) {
  testing::for_each_target([] {
    Random random(12);
    for (int round = 0; round < 200; ++round) {
      const std::size_t columns = kColumnBlock * (1 + random.below(12));
      const std::size_t selected = 1 + random.below(90);
      const std::size_t padded = std::bit_ceil(selected);
      const auto interval = [&](float& low, float& high) {
        low = static_cast<float>(random.below(40));
        high = low + static_cast<float>(random.below(3));
      };
      std::vector<float> low(columns), high(columns);
      for (std::size_t j = 0; j < columns; ++j) interval(low[j], high[j]);
      low[3] = high[3] = -kInfinity;
      std::vector<float> selected_low(padded + kColumnBlock, kInfinity);
      std::vector<float> selected_high = selected_low;
      for (std::size_t i = 0; i < selected; ++i) interval(selected_low[i], selected_high[i]);

      std::uint64_t sure = 0;
      std::vector<std::uint32_t> open_columns;
      for (std::size_t j = 0; j < columns; ++j) {
        std::vector<std::uint32_t> open, found(padded + kColumnBlock);
        for (std::size_t i = 0; i < selected; ++i) {
          const bool is_sure = low[j] >= selected_high[i];
          sure += is_sure ? 1 : 0;
          if (!is_sure && high[j] >= selected_low[i]) open.push_back(static_cast<std::uint32_t>(i));
        }
        if (!open.empty()) open_columns.push_back(static_cast<std::uint32_t>(j));
        found.resize(collect_open_pairs(selected_low.data(), selected_high.data(), selected,
                                        {low[j], high[j]}, found.data()));
        ASSERT_EQ(found, open);
      }
      std::vector<std::pair<float, float>> by_high;
      for (std::size_t i = 0; i < selected; ++i) {
        by_high.emplace_back(selected_high[i], selected_low[i]);
      }
      std::sort(by_high.begin(), by_high.end());
      std::vector<float> ascending_high(padded + kColumnBlock, kInfinity);
      std::vector<float> least_low(padded + kColumnBlock, kInfinity);
      for (std::size_t k = selected; k-- > 0;) {
        ascending_high[k] = by_high[k].first;
        least_low[k] = std::min(by_high[k].second, least_low[k + 1]);
      }
      std::vector<std::uint32_t> found(columns + kColumnBlock);
      const InversionBounds bounds =
          bound_inversions(ascending_high.data(), least_low.data(), padded, low.data(), high.data(),
                           columns, found.data());
      ASSERT_EQ(bounds.sure, sure);
      found.resize(bounds.open);
      ASSERT_EQ(found, open_columns);
    }
  });
}

TEST(ScoreBounds, TermsOfAZeroWeightAreExact) {
  std::vector<float> weights(kColumnBlock, 0.0f), norms(kColumnBlock, 3.0f);
  weights[5] = 0.5f;
  ScoreTerms terms;
  EuclideanScaling scaling;
  scaling.slope = 4.0f;
  scaling.contribution = 2.0f;
  scaling.floor_of_slope = 8.0f;
  scaling.floor_of_offset = 16.0f;
  scaling.floor = 1.0f;
  testing::for_each_target([&] {
    euclidean_terms(weights.data(), norms.data(), scaling, kColumnBlock, terms);
    for (std::size_t j = 0; j < kColumnBlock; ++j) {
      ASSERT_EQ(terms.slope[j], j == 5 ? 2.0f : 0.0f);
      ASSERT_EQ(terms.offset[j], j == 5 ? 9.0f : 0.0f);
      ASSERT_EQ(terms.spread[j], j == 5 ? 6.0f : 0.0f);
      ASSERT_EQ(terms.floor[j], j == 5 ? 8.0f * 2.0f + 16.0f * 9.0f + 1.0f : 0.0f);
    }
    cosine_terms(weights.data(), norms.data(), norms.data(), kColumnBlock, terms);
    for (std::size_t j = 0; j < kColumnBlock; ++j) {
      ASSERT_EQ(terms.slope[j], j == 5 ? 3.0f : 0.0f);
      ASSERT_EQ(terms.offset[j], 0.0f);
      ASSERT_EQ(terms.spread[j], j == 5 ? 1.0f : 0.0f);
      ASSERT_EQ(terms.floor[j], j == 5 ? 3.0f : 0.0f);
    }
  });
}

}  // namespace
}  // namespace toplens
