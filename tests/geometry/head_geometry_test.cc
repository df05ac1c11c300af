#include "geometry/head_geometry.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <toplens/error.h>

#include "geometry/reference_geometry.h"
#include "geometry/sample_heads.h"

namespace toplens {
namespace {

using ::testing::HasSubstr;
using testing::Sample;
using testing::sample_head;
using testing::SampleHead;

constexpr WalkMethod kMethods[] = {WalkMethod::gram, WalkMethod::aggregate};

GeometryOptions options_for(std::vector<int> set_sizes) {
  GeometryOptions options;
  options.set_sizes = std::move(set_sizes);
  options.rankings = {Ranking::attention, Ranking::contribution, Ranking::random,
                      Ranking::positional};
  options.random_repeats = 1;
  return options;
}

std::vector<int> sizes_up_to(std::size_t last) {
  std::vector<int> sizes;
  for (std::size_t n = 1; n <= last; ++n) sizes.push_back(static_cast<int>(n));
  return sizes;
}

std::vector<Separability> measure(HeadGeometry& geometry, const SampleHead& head) {
  std::vector<Separability> results(geometry.num_results());
  geometry.set_values(head.value_view(), 0, 0, 1);
  const GeometryQuery query{0, 0, 0, static_cast<int>(head.tokens) - 1, 0, true};
  geometry.measure(query, head.attention, results);
  return results;
}

std::vector<std::uint32_t> order_of(Ranking ranking, const SampleHead& head,
                                    const GeometryOptions& options) {
  TokenRanker ranker;
  switch (ranking) {
    case Ranking::random: {
      const RandomRankingKey key{0, 0, 0, static_cast<int>(head.tokens) - 1, 0};
      const auto order = ranker.at_random(options.seed, key, head.tokens, head.tokens);
      return {order.begin(), order.end()};
    }
    case Ranking::positional: {
      const auto order = ranker.by_position(0, head.tokens, head.tokens);
      return {order.begin(), order.end()};
    }
    default:
      return testing::reference_order(
          testing::reference_scores(head.attention, head.value_view(), ranking), head.tokens);
  }
}

/// Every cell of one head against the reference; returns how many were left out because float64
/// itself cannot tell some pair apart. Where arithmetic is `exact`, no euclidean cell is.
int compare_with_reference(const SampleHead& head, HeadGeometry& geometry, bool exact) {
  const GeometryOptions& options = geometry.options();
  const std::vector<Separability> results = measure(geometry, head);
  int near_ties = 0;
  for (std::size_t r = 0; r < options.rankings.size(); ++r) {
    const auto order = order_of(options.rankings[r], head, options);
    for (std::size_t d = 0; d < options.distances.size(); ++d) {
      for (std::size_t n = 0; n < options.set_sizes.size(); ++n) {
        const auto size = static_cast<std::size_t>(options.set_sizes[n]);
        const Separability& found = results[geometry.index(r, d, n)];
        if (size >= head.tokens) {
          EXPECT_FALSE(found.defined());
          continue;
        }
        const auto reference = testing::reference_geometry(
            head.attention, head.value_view(), options.distances[d],
            std::span<const std::uint32_t>(order).first(size),
            exact && options.distances[d] == Distance::euclidean ? -1.0 : 1e-13);
        const Separability& expected = reference.separability;
        SCOPED_TRACE(std::string(name(options.rankings[r])) + " " +
                     std::string(name(options.distances[d])) + " N=" + std::to_string(size));
        // A radius near 0 is a root of a rounded difference: half of the digits.
        EXPECT_NEAR(found.margin, expected.margin, 1e-7 * (1.0 + std::abs(expected.margin)));
        if (reference.near_tie) {
          ++near_ties;
          continue;
        }
        EXPECT_EQ(found.precision, expected.precision);
        EXPECT_EQ(found.recall, expected.recall);
        EXPECT_EQ(found.f_score, expected.f_score);
        EXPECT_EQ(found.inversions, expected.inversions);
        if (options.distances[d] == Distance::cosine) {
          EXPECT_EQ(found.light_share, expected.light_share);
        } else {
          EXPECT_TRUE(std::isnan(found.light_share));
        }
      }
    }
  }
  return near_ties;
}

class EverySample : public ::testing::TestWithParam<Sample> {};

TEST_P(EverySample, AgreesWithTheDefinitionsAtEverySize) {
  const bool exact = GetParam() == Sample::integers;
  int cells = 0;
  int near_ties = 0;
  for (const std::size_t tokens : {2u, 9u, 33u, 70u}) {
    for (const std::size_t dim : {1u, 3u, 16u}) {
      const SampleHead head = sample_head(GetParam(), tokens, dim, 41);
      for (const WalkMethod method : kMethods) {
        HeadGeometry geometry(options_for(sizes_up_to(tokens + 1)), method);
        const int left_out = compare_with_reference(head, geometry, exact);
        if (HasFailure()) return;
        if (dim < 16) continue;  // parallel values, whose cosines tie but for rounding
        near_ties += left_out;
        cells += static_cast<int>(geometry.num_results());
      }
    }
  }
  EXPECT_LT(near_ties, cells / 50) << "of " << cells;
}

INSTANTIATE_TEST_SUITE_P(HeadGeometry, EverySample,
                         ::testing::Values(Sample::plain, Sample::sharp, Sample::duplicated,
                                           Sample::zero_weights, Sample::zero_values,
                                           Sample::integers));

RC_GTEST_PROP(HeadGeometry, WhatIsAlwaysTrue, ()) {
  const auto kind = *rc::gen::element(Sample::plain, Sample::sharp, Sample::duplicated,
                                      Sample::zero_weights, Sample::zero_values, Sample::integers);
  const auto tokens = *rc::gen::inRange<std::size_t>(2, 80);
  const auto dim = *rc::gen::inRange<std::size_t>(1, 20);
  const auto method = *rc::gen::element(WalkMethod::gram, WalkMethod::aggregate);
  const SampleHead head = sample_head(kind, tokens, dim, *rc::gen::arbitrary<std::uint64_t>());
  HeadGeometry geometry(options_for(sizes_up_to(tokens - 1)), method);
  const std::vector<Separability> results = measure(geometry, head);
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Separability& m = results[i];
    const double size = static_cast<double>(i % (tokens - 1) + 1);
    RC_ASSERT(m.defined());
    RC_ASSERT(m.precision >= size / static_cast<double>(tokens) && m.precision <= 1.0);
    RC_ASSERT(m.recall >= 0.0 && m.recall <= 1.0);
    RC_ASSERT(m.f_score >= 0.0 && m.f_score <= 1.0);
    // theory.md (8)
    RC_ASSERT(m.precision >= size / (size + m.inversions));
    RC_ASSERT(std::round(m.recall * size) >= size - m.inversions);
    RC_ASSERT((m.inversions == 0.0) == (m.margin > 0.0));
    RC_ASSERT((m.inversions == 0.0) == (m.precision == 1.0 && m.recall == 1.0));
    RC_ASSERT((m.inversions == 0.0) == (m.f_score == 1.0));
  }
}

RC_GTEST_PROP(HeadGeometry, OneTokenAloneSeparates, ()) {
  // theory.md (9): without a duplicate of y_i, whatever the ranking.
  const auto tokens = *rc::gen::inRange<std::size_t>(2, 60);
  const SampleHead head = sample_head(Sample::plain, tokens, *rc::gen::inRange<std::size_t>(1, 9),
                                      *rc::gen::arbitrary<std::uint64_t>());
  GeometryOptions options = options_for({1});
  options.distances = {Distance::euclidean};
  for (const WalkMethod method : kMethods) {
    HeadGeometry geometry(options, method);
    for (const Separability& m : measure(geometry, head)) {
      RC_ASSERT(m.f_score == 1.0 && m.precision == 1.0 && m.recall == 1.0);
    }
  }
}

TEST(HeadGeometry, DuplicatesTieWhereverTheyStand) {
  // Copies of the top token in all SIMD lanes and panels: N = 1 meets exactly the other copies.
  for (const WalkMethod method : kMethods) {
    for (const std::size_t copies : {2u, 50u, 99u}) {
      SampleHead head = sample_head(Sample::plain, 131, 24, 9);
      for (float& a : head.attention) a *= 0.01f;
      for (std::size_t k = 0; k < copies; ++k) {
        const std::size_t i = (k * 53 + 17) % head.tokens;
        head.attention[i] = 0.3f;
        for (std::size_t c = 0; c < head.dim; ++c) {
          head.values[i * head.dim + c] = 0.1f * static_cast<float>(c + 1);
        }
      }
      GeometryOptions options = options_for({1});
      options.rankings = {Ranking::attention};
      HeadGeometry geometry(options, method);
      for (const Separability& m : measure(geometry, head)) {
        EXPECT_EQ(m.precision, 1.0 / static_cast<double>(copies));
        EXPECT_EQ(m.recall, 0.0);
        EXPECT_EQ(m.inversions, static_cast<double>(copies - 1));
        EXPECT_EQ(m.margin, 0.0);
      }
    }
  }
}

TEST(HeadGeometry, AllAggregatesZero) {
  // No weight at all, and two values that cancel: s = 0, every distance equal, nothing separates.
  SampleHead head = sample_head(Sample::integers, 8, 3, 1);
  std::fill(head.attention.begin(), head.attention.end(), 0.0f);
  HeadGeometry geometry(options_for({3}));
  for (const Separability& m : measure(geometry, head)) {
    EXPECT_EQ(m.precision, 3.0 / 8.0);
    EXPECT_EQ(m.recall, 0.0);
    EXPECT_EQ(m.margin, 0.0);
    EXPECT_EQ(m.inversions, 15.0);
  }
}

TEST(HeadGeometry, RandomIsTheMeanOverItsRepeats) {
  const SampleHead head = sample_head(Sample::plain, 40, 6, 77);
  GeometryOptions options = options_for({5, 2, 13});  // in any order
  options.rankings = {Ranking::random};
  options.random_repeats = 7;
  HeadGeometry geometry(options);
  const std::vector<Separability> results = measure(geometry, head);
  for (std::size_t d = 0; d < 2; ++d) {
    for (std::size_t n = 0; n < 3; ++n) {
      Separability mean = zero_separability();
      for (int repeat = 0; repeat < 7; ++repeat) {
        TokenRanker ranker;
        const auto order = ranker.at_random(options.seed, {0, 0, 0, 39, repeat}, 40, 39);
        add(mean, testing::reference_geometry(
                      head.attention, head.value_view(), options.distances[d],
                      order.first(static_cast<std::size_t>(options.set_sizes[n])), 0.0)
                      .separability);
      }
      divide(mean, 7);
      EXPECT_EQ(results[geometry.index(0, d, n)].f_score, mean.f_score);
      EXPECT_EQ(results[geometry.index(0, d, n)].inversions, mean.inversions);
      EXPECT_NEAR(results[geometry.index(0, d, n)].margin, mean.margin, 1e-12);
    }
  }
}

TEST(HeadGeometry, WithoutInversionsTheRestIsTheSame) {
  const SampleHead head = sample_head(Sample::plain, 90, 8, 5);
  GeometryOptions options = options_for({2, 8, 40});
  HeadGeometry with(options);
  options.with_inversions = false;
  HeadGeometry without(options);
  const auto expected = measure(with, head);
  const auto found = measure(without, head);
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].f_score, expected[i].f_score);
    EXPECT_EQ(found[i].margin, expected[i].margin);
    EXPECT_TRUE(std::isnan(found[i].inversions));
    EXPECT_FALSE(std::isnan(expected[i].inversions));
  }
}

TEST(HeadGeometry, BadOptionsAreErrorsThatNameTheValue) {
  const auto message = [](const GeometryOptions& options) -> std::string {
    try {
      HeadGeometry geometry(options);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message(options_for({})), HasSubstr("set sizes"));
  EXPECT_THAT(message(options_for({4, 0})), HasSubstr("found 0"));
  EXPECT_THAT(message(options_for({4, 8, 4})), HasSubstr("4 is given twice"));
  GeometryOptions options;
  options.random_repeats = 0;
  EXPECT_THAT(message(options), HasSubstr("random repeats"));
  options = GeometryOptions();
  options.rankings = {Ranking::random, Ranking::random};
  EXPECT_THAT(message(options), HasSubstr("'random' is given twice"));
  options = GeometryOptions();
  options.distances = {};
  EXPECT_THAT(message(options), HasSubstr("distances"));
  try {
    parse_distance("manhattan");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("euclidean, cosine"));
  }
}

}  // namespace
}  // namespace toplens
