#include "geometry/bounded_separation.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "geometry/head_geometry.h"
#include "geometry/reference_geometry.h"
#include "geometry/sample_heads.h"
#include "support/simd_targets.h"

namespace toplens {
namespace {

using testing::Sample;
using testing::sample_head;
using testing::SampleHead;

constexpr Distance kDistances[] = {Distance::euclidean, Distance::cosine};

struct Heads {
  std::string name;
  std::vector<SampleHead> heads;
};

/// The kinds of heads whose counts float32 gets wrong, or could.
std::vector<Heads> all_kinds() {
  const auto several = [](Sample kind, double value_scale, double weight_scale) {
    std::vector<SampleHead> heads;
    for (const std::size_t tokens : {40u, 130u, 400u}) {
      SampleHead head = sample_head(kind, tokens, 32, 5 * tokens);
      for (float& x : head.values) x *= static_cast<float>(value_scale);
      for (float& a : head.attention) a *= static_cast<float>(weight_scale);
      heads.push_back(head);
    }
    return heads;
  };
  std::vector<Heads> kinds = {
      {"random", several(Sample::plain, 1.0, 1.0)},
      {"sharp", several(Sample::sharp, 1.0, 1.0)},
      {"duplicated", several(Sample::duplicated, 1.0, 1.0)},
      {"zero weights", several(Sample::zero_weights, 1.0, 1.0)},
      {"zero values", several(Sample::zero_values, 1.0, 1.0)},
      {"integers", several(Sample::integers, 1.0, 1.0)},
      {"huge values", several(Sample::plain, 1e30, 1.0)},
      {"tiny values", several(Sample::plain, 1e-30, 1.0)},
      {"tiny weights", several(Sample::sharp, 1.0, 1e-20)},
  };
  // Values around a common direction: all scores nearly tie.
  Heads close{"close", several(Sample::plain, 1e-5, 1.0)};
  for (SampleHead& head : close.heads) {
    std::fill(head.attention.begin(), head.attention.end(), 1.0f / static_cast<float>(head.tokens));
    for (std::size_t i = 0; i < head.values.size(); i += head.dim) head.values[i] += 1.0f;
  }
  kinds.push_back(close);
  // Values whose lengths differ by more than float32's range of squares.
  Heads uneven{"uneven", several(Sample::plain, 1.0, 1.0)};
  for (SampleHead& head : uneven.heads) {
    for (std::size_t i = 0; i < head.values.size(); ++i) {
      head.values[i] *= std::ldexp(1.0f, static_cast<int>(i / head.dim * 37 % 200) - 120);
    }
  }
  kinds.push_back(uneven);
  // Equal components but for the first: within a power of two a chain of equal products rounds the
  // same way at each step, so errors add up to a fifth of their bound.
  Heads diagonal{"diagonal", {}};
  for (const float component : {0.1f, 0.3f, 0.7f, 1.1f, 1.9f}) {
    SampleHead head = sample_head(Sample::plain, 130, 128, 21);
    std::fill(head.attention.begin(), head.attention.end(), 1.0f / 130.0f);
    for (std::size_t i = 0; i < head.values.size(); ++i) {
      head.values[i] = component * (i % head.dim == 0 ? 1.0f + 1e-2f * head.values[i] : 1.0f);
    }
    diagonal.heads.push_back(head);
  }
  kinds.push_back(diagonal);
  return kinds;
}

struct Tally {
  int compared = 0;
  int near_ties = 0;
};

/// Every size of the list and both distances, over nested selections of a random, an attention and
/// a worst-first order.
void compare(const SampleHead& head, bool with_inversions, Tally& tally,
             BoundedSeparation& bounded) {
  bounded.set_values(head.value_view());
  std::vector<double> weights(head.attention.begin(), head.attention.end());
  std::vector<double> factors(head.tokens, 0.0);
  for (std::size_t i = 0; i < head.tokens; ++i) {
    const double squared = bounded.values().squared_norms()[i];
    if (weights[i] > 0.0 && squared > 0.0) factors[i] = 1.0 / std::sqrt(squared);
  }
  bounded.set_query({0, head.attention, weights.data(), factors.data()}, kDistances);
  TokenRanker ranker;
  std::vector<std::vector<std::uint32_t>> orders;
  const auto random = ranker.at_random(3, {}, head.tokens, head.tokens);
  orders.emplace_back(random.begin(), random.end());
  const auto ranked = ranker.by_score(std::span<const float>(head.attention), head.tokens);
  orders.emplace_back(ranked.begin(), ranked.end());
  orders.emplace_back(ranked.rbegin(), ranked.rend());
  std::vector<std::size_t> sizes = {1, 2, 3, 5, 8, 16, 31, 39};
  if (head.tokens > 129) sizes.insert(sizes.end(), {64, 128, 129});
  if (head.tokens > 256) sizes.insert(sizes.end(), {200, 256});
  for (const auto& order : orders) {
    bounded.start(order);
    bounded.select(sizes, with_inversions);
    for (std::size_t n = 0; n < sizes.size(); ++n) {
      for (const Distance distance : kDistances) {
        const auto reference = testing::reference_geometry(
            head.attention, head.value_view(), distance,
            std::span<const std::uint32_t>(order).first(sizes[n]), 1e-13);
        if (reference.near_tie) {
          ++tally.near_ties;
          continue;
        }
        const SeparationCounts counts = bounded.count(n, distance, with_inversions);
        const Separability found = separability_from_counts(counts, sizes[n]);
        ++tally.compared;
        ASSERT_EQ(found.precision, reference.separability.precision) << sizes[n];
        ASSERT_EQ(found.recall, reference.separability.recall) << sizes[n];
        ASSERT_EQ(counts.min_selected > counts.max_unselected,
                  reference.separability.inversions == 0);
        if (!with_inversions) continue;
        ASSERT_EQ(found.inversions, reference.separability.inversions) << sizes[n];
      }
    }
  }
}

TEST(BoundedSeparation, CountsAreThoseOfTheDefinitionsOnEveryTarget) {
  for (const Heads& kind : all_kinds()) {
    SCOPED_TRACE(kind.name);
    testing::for_each_target([&] {
      // Integers have plain loops where no instruction makes them fast.
      BoundedSeparation bounded(true);
      Tally tally;
      for (const SampleHead& head : kind.heads) {
        for (const bool with_inversions : {true, false}) {
          compare(head, with_inversions, tally, bounded);
          if (::testing::Test::HasFatalFailure()) return;
        }
      }
      // Integers have the last word on some cells.
      if (kind.name == "uneven") {
        EXPECT_EQ(bounded.statistics().integer_cells, 0u);
      } else if (kind.name == "random") {
        EXPECT_GT(bounded.statistics().integer_cells, 100u);
      } else if (kind.name == "close") {
        EXPECT_LT(bounded.statistics().integer_cells, 100u);
      }
      // Sharp heads leave float64 itself without an answer where weights are far apart.
      EXPECT_GT(tally.compared, 4 * tally.near_ties) << tally.near_ties;
    });
    if (HasFailure()) return;
  }
}

/// A unit of the aggregate so small that its products with the values' units would be subnormal.
TEST(BoundedSeparation, IntegersAreLeftWhereTheirUnitsWouldUnderflow) {
  for (std::size_t trial = 0; trial < 100; ++trial) {
    const std::size_t tokens = 40, dim = std::size_t{2} << trial % 3;
    Random random(trial);
    std::vector<float> values(tokens * dim, 0.0f);
    std::vector<float> attention(tokens, 0x1p-20f);
    attention.front() = 0x1p-149f;  // s is this times a short vector
    values[0] = 0x1p-10f;
    for (std::size_t i = 1; i + 1 < tokens; ++i) {
      const double angle = 1.2 * random.uniform();
      const double length = std::exp2(-58 + 1.5 * random.uniform());
      values[i * dim] = static_cast<float>(std::cos(angle) * length);
      values[i * dim + 1] = static_cast<float>(std::sin(angle) * length);
    }
    attention.back() = 1.0f;
    values[(tokens - 1) * dim + 1] = 0.5f;  // sets the panels' scale
    const std::vector<double> weights(attention.begin(), attention.end());
    std::vector<double> factors(tokens);
    BoundedSeparation integers(true), floats(false);
    for (BoundedSeparation* one : {&integers, &floats}) {
      one->set_values(MatrixView<const float>(values.data(), tokens, dim));
      for (std::size_t i = 0; i < tokens; ++i) {
        factors[i] = 1.0 / std::sqrt(one->values().squared_norms()[i]);
      }
      one->set_query({0, attention, weights.data(), factors.data()}, kDistances);
    }
    const std::vector<std::uint32_t> order = {0, 1};
    integers.start(order);
    floats.start(order);
    const std::size_t sizes[] = {1};
    integers.select(sizes, false);
    floats.select(sizes, false);
    for (const Distance distance : kDistances) {
      const SeparationCounts found = integers.count(0, distance, false);
      const SeparationCounts expected = floats.count(0, distance, false);
      EXPECT_EQ(found.min_selected, expected.min_selected) << trial;
      EXPECT_EQ(found.max_unselected, expected.max_unselected) << trial;
      EXPECT_EQ(found.contaminating, expected.contaminating) << trial;
      EXPECT_EQ(found.clear, expected.clear) << trial;
    }
  }
}

/// All queries of causal attention over 300 tokens on both paths: thousands of cells.
TEST(BoundedSeparation, AllQueriesGiveTheCountsOfTheGramWalk) {
  const std::size_t tokens = 300, dim = 64;
  GeometryOptions options;
  options.set_sizes = {1, 2, 4, 8, 16, 32, 64, 128, 256};
  options.rankings = {Ranking::attention};
  options.distances = {Distance::euclidean};
  options.with_inversions = false;
  for (const Sample kind :
       {Sample::plain, Sample::sharp, Sample::duplicated, Sample::zero_weights}) {
    SCOPED_TRACE(static_cast<int>(kind));
    const SampleHead head = sample_head(kind, tokens, dim, 9);
    Random random(77, {static_cast<std::uint64_t>(kind)});
    for (const int window : {0, 150}) {
      HeadGeometry bounded(options, WalkMethod::aggregate);
      HeadGeometry exact(options, WalkMethod::gram);
      bounded.set_values(head.value_view(), window, static_cast<int>(tokens) - 1, 1);
      exact.set_values(head.value_view(), window, static_cast<int>(tokens) - 1, 1);
      std::vector<Separability> found(bounded.num_results()), expected(exact.num_results());
      for (int query = 0; query < static_cast<int>(tokens); ++query) {
        const int first = window > 0 ? std::max(query + 1 - window, 0) : 0;
        const GeometryQuery which{0, 0, 0, query, first, false};
        std::vector<float> row =
            testing::softmax_row(random, static_cast<std::size_t>(query - first + 1),
                                 kind == Sample::sharp ? 24.0 : 2.0);
        if (kind == Sample::duplicated || kind == Sample::zero_weights) {
          const std::span<const float> weights(head.attention);
          std::copy_n(weights.begin() + first, row.size(), row.begin());
        }
        bounded.measure(which, row, found);
        exact.measure(which, row, expected);
        for (std::size_t i = 0; i < found.size(); ++i) {
          ASSERT_EQ(found[i].defined(), expected[i].defined());
          if (!found[i].defined()) continue;
          ASSERT_EQ(found[i].precision, expected[i].precision) << query << ' ' << i;
          ASSERT_EQ(found[i].recall, expected[i].recall) << query << ' ' << i;
          // A radius near 0 is a root of a rounded difference: half of the digits.
          ASSERT_NEAR(found[i].margin, expected[i].margin,
                      1e-7 * (1.0 + std::abs(expected[i].margin)));
          ASSERT_TRUE(std::isnan(found[i].inversions));
        }
      }
      const auto& statistics = bounded.statistics();
      EXPECT_GT(statistics.cells, 1000u);
      // Duplicates all meet at the threshold; elsewhere the bounds settle nearly every cell.
      if (kind != Sample::duplicated) {
        EXPECT_LT(statistics.undecided_cells, statistics.cells / 20);
      }
      EXPECT_LT(statistics.float64_products, 20 * statistics.cells);
    }
  }
}

}  // namespace
}  // namespace toplens
