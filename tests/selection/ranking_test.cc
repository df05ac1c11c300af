#include "selection/ranking.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <toplens/error.h>

namespace toplens {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Order = std::vector<std::uint32_t>;

Order copy(std::span<const std::uint32_t> order) { return {order.begin(), order.end()}; }

TEST(Ranking, NamesAndKindsMatchAndTheErrorListsAll) {
  for (const auto& row : kRankingNames) EXPECT_EQ(parse_ranking(name(row.kind)), row.kind);
  try {
    parse_ranking("atention");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'atention'"));
    EXPECT_THAT(error.what(), HasSubstr("attention, contribution, random, positional"));
  }
}

template <typename T>
void check_against_stable_sort(const std::vector<T>& scores, std::size_t count) {
  Order expected(scores.size());
  std::iota(expected.begin(), expected.end(), 0u);
  std::stable_sort(expected.begin(), expected.end(),
                   [&](auto a, auto b) { return scores[a] > scores[b]; });
  expected.resize(count);
  TokenRanker ranker;
  RC_ASSERT(copy(ranker.by_score(std::span<const T>(scores), count)) == expected);
}

RC_GTEST_PROP(Ranking, ByScoreIsAStableDescendingSort, ()) {
  // Few different values, so that ties are everywhere; also both zeros, negatives and subnormals.
  const std::vector<float> pool = {0.0f, -0.0f, 1e-45f, 0.25f, 0.5f, -1.0f, 3.0f, 1e-38f};
  const auto picks =
      *rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, pool.size()));
  const auto count = *rc::gen::inRange<std::size_t>(0, picks.size() + 1);
  std::vector<float> scores;
  for (const std::size_t pick : picks) scores.push_back(pool[pick]);
  check_against_stable_sort(scores, count);
  check_against_stable_sort(std::vector<double>(scores.begin(), scores.end()), count);
}

TEST(Ranking, RandomOrdersAreNestedDistinctAndKeyed) {
  TokenRanker ranker;
  const RandomRankingKey key{7, 3, 2, 99, 5};
  const Order long_order = copy(ranker.at_random(1, key, 100, 60));
  EXPECT_EQ(std::set<std::uint32_t>(long_order.begin(), long_order.end()).size(), 60u);
  EXPECT_LT(*std::max_element(long_order.begin(), long_order.end()), 100u);
  EXPECT_EQ(copy(ranker.at_random(1, key, 100, 10)),
            Order(long_order.begin(), long_order.begin() + 10));
  std::set<Order> different = {long_order};
  RandomRankingKey other = key;
  other.document = 8;
  different.insert(copy(ranker.at_random(1, other, 100, 60)));
  other = key;
  other.layer = 2;
  different.insert(copy(ranker.at_random(1, other, 100, 60)));
  other = key;
  other.query_head = 3;
  different.insert(copy(ranker.at_random(1, other, 100, 60)));
  other = key;
  other.query = 98;
  different.insert(copy(ranker.at_random(1, other, 100, 60)));
  other = key;
  other.repeat = 4;
  different.insert(copy(ranker.at_random(1, other, 100, 60)));
  different.insert(copy(ranker.at_random(2, key, 100, 60)));
  EXPECT_EQ(different.size(), 7u);
}

TEST(Ranking, RandomOrdersAreUniform) {
  // 6 orders of 3 tokens, 6000 draws: each within 5 standard deviations of 1000.
  TokenRanker ranker;
  std::vector<int> counts(9, 0);
  for (int repeat = 0; repeat < 6000; ++repeat) {
    const auto order = ranker.at_random(11, {0, 0, 0, 0, repeat}, 3, 2);
    ++counts[order[0] * 3 + order[1]];
  }
  for (std::uint32_t first = 0; first < 3; ++first) {
    for (std::uint32_t second = 0; second < 3; ++second) {
      const double expected = first == second ? 0.0 : 1000.0;
      EXPECT_NEAR(counts[first * 3 + second], expected, 5.0 * std::sqrt(expected * 5.0 / 6.0));
    }
  }
}

TEST(Ranking, PositionalIsTheFirstTokenThenTheMostRecent) {
  TokenRanker ranker;
  EXPECT_THAT(copy(ranker.by_position(0, 6, 4)), ElementsAre(0, 5, 4, 3));
  EXPECT_THAT(copy(ranker.by_position(0, 3, 3)), ElementsAre(0, 2, 1));
  EXPECT_THAT(copy(ranker.by_position(10, 6, 3)), ElementsAre(5, 4, 3));  // token 0 out of sight
  EXPECT_THAT(copy(ranker.by_position(0, 1, 1)), ElementsAre(0));
}

}  // namespace
}  // namespace toplens
