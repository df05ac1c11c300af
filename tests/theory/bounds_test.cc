#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <boost/math/distributions/normal.hpp>

#include "geometry/head_geometry.h"
#include "kernels/normal_draws.h"
#include "sample_tokens.h"
#include "theory/conditional_bound.h"
#include "theory/distribution_free.h"
#include "theory/operating_regime.h"
#include "theory/sink_threshold.h"

namespace toplens {
namespace {

using testing::cosine;
using testing::random_tokens;
using testing::sample_assumptions;
using testing::SampleTokens;

double exact_tail(double z) {
  return boost::math::cdf(boost::math::complement(boost::math::normal(), z));
}

/// Selected scores that a conditional bound starts from, for one size.
struct Conditions {
  std::vector<double> scores;
  double aggregate_norm = 0.0;

  /// What the assumed similarities say, plus `shift` times the spread of the contributions.
  Conditions(const SampleTokens& tokens, const HeadAssumptions& a, std::size_t n, double shift) {
    SimilaritySums sums;
    const std::array<std::size_t, 1> sizes = {n};
    sums.compute(tokens.view(), a.similarity, a.sink_similarity, sizes);
    aggregate_norm = std::sqrt(sums.squared_norm(0));
    for (std::size_t r = 0; r < n; ++r) {
      const double w = tokens.view().contribution_at(r);
      scores.push_back(w * (w + 2.0 * sums.others(0)[r] + shift * aggregate_norm));
    }
  }
};

ConditionalBound bound_of(const SampleTokens& tokens, const HeadAssumptions& a,
                          const Conditions& conditions, const Residuals& residuals) {
  ConditionalBounds bounds;
  std::array<ConditionalBound, 1> result;
  const std::array<SelectedScores, 1> selected = {{{static_cast<std::size_t>(residuals.set_size),
                                                    conditions.scores, conditions.aggregate_norm}}};
  const std::array<Residuals, 1> rows = {residuals};
  bounds.evaluate(tokens.view(), a, selected, rows, result);
  return result[0];
}

TEST(SimilaritySums, EqualThePlainLoopAndLoseNothingInSharpHeads) {
  for (const bool sink_visible : {true, false}) {
    for (const double log_sd : {0.5, 24.0}) {
      const SampleTokens tokens = random_tokens(60, log_sd, 2);
      const HeadAssumptions a = sample_assumptions();
      const std::array<std::size_t, 3> sizes = {1, 7, 59};
      SimilaritySums sums;
      sums.compute(tokens.view(sink_visible), a.similarity, a.sink_similarity, sizes);
      for (std::size_t n = 0; n < sizes.size(); ++n) {
        for (std::size_t r = 0; r < 60; ++r) {
          double expected = 0.0, size = 0.0;
          for (std::size_t k = 0; k < sizes[n]; ++k) {
            if (k == r) continue;
            const double term = tokens.view().contribution_at(k) *
                                cosine(a, sink_visible, tokens.order[r], tokens.order[k]);
            expected += term;
            size += std::abs(term);
          }
          ASSERT_NEAR(sums.others(n)[r], expected, 1e-13 * size);  // relative, however light
        }
      }
    }
  }
}

TEST(ConditionalBound, EqualsThePlainLoops) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  int separated = 0;
  const HeadAssumptions a = sample_assumptions();
  for (const std::size_t n : {1u, 2u, 5u, 30u, 79u}) {
    for (const double log_sd : {0.3, 2.0, 24.0}) {
      const SampleTokens tokens = random_tokens(80, log_sd, 12);
      const Conditions conditions(tokens, a, n, 0.2);
      const Residuals residuals{static_cast<int>(n), 0.03, 0.8, 0.5};
      const RankedTokens view = tokens.view();
      const auto p = [&](double score, std::size_t r, bool chernoff) {
        const double w = view.contribution_at(r);
        double m = 0.0;
        for (std::size_t k = 0; k < n; ++k) {
          m += view.contribution_at(k) * cosine(a, true, view.order[r], view.order[k]);
        }
        const double norm = conditions.aggregate_norm;
        const double gap = score - (2.0 * w * (m + 0.03 * norm) - w * w);
        const double sigma = view.is_sink(r) ? 0.5 : 0.8;
        if (!chernoff) return exact_tail(std::sqrt(64.0) * gap / (2.0 * sigma * w * norm));
        return gap > 0.0 ? std::exp(-64.0 * gap * gap / (8.0 * sigma * sigma * w * w * norm * norm))
                         : 1.0;
      };
      const ConditionalBound bound = bound_of(tokens, a, conditions, residuals);
      for (const bool chernoff : {true, false}) {
        double at_edge = 0.0, rows = 0.0;
        const double edge = *std::min_element(conditions.scores.begin(), conditions.scores.end());
        for (std::size_t r = n; r < 80; ++r) at_edge += p(edge, r, chernoff);
        for (const double score : conditions.scores) {
          double sum = 0.0;
          for (std::size_t r = n; r < 80; ++r) sum += p(score, r, chernoff);
          rows += std::min(1.0, sum);
        }
        const auto size = static_cast<double>(n);
        const Separation& separation = chernoff ? bound.chernoff : bound.gaussian;
        EXPECT_NEAR(separation.precision, size / (size + at_edge), 1e-5);
        EXPECT_NEAR(separation.recall, 1.0 - rows / size, 1e-5);
        EXPECT_NEAR(separation.f_score,
                    std::max(0.0, separation.precision + separation.recall - 1.0), 1e-12);
      }
      EXPECT_LE(bound.uniform_precision, bound.chernoff.precision + 1e-6);  // (18) is weaker
      // theory.md (18), (19), by the margin of the weakest selected token over the largest spread.
      double margin = kInfinity, largest_sd = 0.0;
      for (std::size_t r = n; r < 80; ++r) {
        const double w = view.contribution_at(r);
        double m = 0.03 * conditions.aggregate_norm;
        for (std::size_t k = 0; k < n; ++k) {
          m += view.contribution_at(k) * cosine(a, true, view.order[r], view.order[k]);
        }
        margin =
            std::min(margin, *std::min_element(conditions.scores.begin(), conditions.scores.end()) -
                                 (2.0 * w * m - w * w));
        largest_sd = std::max(largest_sd, 2.0 * (view.is_sink(r) ? 0.5 : 0.8) * w *
                                              conditions.aggregate_norm / std::sqrt(64.0));
      }
      if (margin <= 0.0) continue;
      ++separated;
      const double square = margin / largest_sd * (margin / largest_sd);
      const auto others = static_cast<double>(80 - n);
      const auto size = static_cast<double>(n);
      EXPECT_NEAR(bound.uniform_precision, size / (size + others * std::exp(-0.5 * square)), 1e-9);
      EXPECT_NEAR(bound.separating_dimension * square / 64.0, 2.0 * std::log(others / 0.05), 1e-9);
    }
  }
  EXPECT_GT(separated, 2);
}

TEST(ConditionalBound, GrowsWithDimensionAndMargin) {
  rc::check("d and margin", [] {
    const auto seed = *rc::gen::arbitrary<std::uint32_t>();
    const auto n = *rc::gen::inRange<std::size_t>(1, 40);
    const double log_sd = 0.1 * *rc::gen::inRange(0, 240);
    const SampleTokens tokens = random_tokens(41, log_sd, seed);
    const Residuals residuals{static_cast<int>(n), 0.0, 1.0, 1.0};
    double previous = -1.0;
    for (const double dimension : {4.0, 16.0, 64.0, 256.0, 4096.0}) {
      const HeadAssumptions a = sample_assumptions(dimension);
      const Conditions conditions(tokens, a, n, 0.1);
      const ConditionalBound bound = bound_of(tokens, a, conditions, residuals);
      RC_ASSERT(bound.chernoff.f_score >= previous - 1e-6);
      RC_ASSERT(bound.chernoff.precision <= bound.gaussian.precision + 1e-6);
      RC_ASSERT(bound.chernoff.recall <= bound.gaussian.recall + 1e-6);
      previous = bound.chernoff.f_score;
      // (19) turns the same inequality around.
      if (bound.separating_dimension <= dimension) {
        RC_ASSERT(bound.chernoff.precision >=
                  static_cast<double>(n) / (static_cast<double>(n) + 0.05) - 1e-6);
      }
    }
    previous = -1.0;
    for (const double shift : {-0.2, 0.0, 0.1, 0.5, 2.0}) {
      const HeadAssumptions a = sample_assumptions();
      const ConditionalBound bound =
          bound_of(tokens, a, Conditions(tokens, a, n, shift), residuals);
      RC_ASSERT(bound.chernoff.precision >= previous - 1e-6);
      previous = bound.chernoff.precision;
    }
  });
}

TEST(ConditionalBound, ZeroWeightsAndZeroSigmaAreSteps) {
  const HeadAssumptions a = sample_assumptions();
  const Residuals residuals{2, 0.0, 1.0, 1.0};
  const SampleTokens tokens({0.3, 0.7, 0.0, 0.0});
  Conditions conditions(tokens, a, 2, 0.0);
  EXPECT_EQ(bound_of(tokens, a, conditions, residuals).gaussian.precision, 1.0);
  conditions.scores[1] = 0.0;  // g_i = g_j = 0: both unselected reach it
  const ConditionalBound bound = bound_of(tokens, a, conditions, residuals);
  EXPECT_EQ(bound.chernoff.precision, 0.5);
  EXPECT_EQ(bound.chernoff.recall, 0.5);
  EXPECT_EQ(bound.margin, 0.0);
  EXPECT_EQ(bound.uniform_precision, 0.0);

  Residuals exact{2, 0.0, 0.0, 0.0};
  const SampleTokens flat({0.1, 0.5, 0.3, 0.1});
  conditions = Conditions(flat, a, 2, 0.0);
  EXPECT_EQ(bound_of(flat, a, conditions, exact).chernoff.precision,
            bound_of(flat, a, conditions, exact).gaussian.precision);
}

TEST(ConditionalBound, SeparatesWithTheProbabilityOfNineteen) {
  // Independent isotropic directions keep (13) with phi = 0, sigma = 1: in the dimension of (19)
  // at most eta of the draws may fail.
  constexpr std::size_t kLength = 40, kSelected = 3;
  std::vector<double> weights(kLength, 0.02);
  weights[4] = 0.4;
  weights[9] = 0.3;
  weights[30] = 0.26;
  const SampleTokens tokens(weights);
  HeadAssumptions a = sample_assumptions(40.0);
  a.similarity = {};
  a.sink_similarity = 0.0;
  const std::vector<float> attention(weights.begin(), weights.end());
  GeometryOptions options;
  options.set_sizes = {static_cast<int>(kSelected)};
  options.rankings = {Ranking::attention};
  options.distances = {Distance::euclidean};
  HeadGeometry geometry(options);
  Random random(6);
  constexpr std::size_t kDimension = 40;
  std::vector<float> values(kLength * kDimension);
  int claimed = 0, failed = 0;
  double precision = 0.0, promised = 0.0;
  constexpr int kTrials = 400;
  for (int trial = 0; trial < kTrials; ++trial) {
    normal_draws(random, values);
    for (std::size_t i = 0; i < kLength; ++i) {
      double square = 0.0;
      for (std::size_t c = 0; c < kDimension; ++c)
        square += values[i * kDimension + c] * double{values[i * kDimension + c]};
      for (std::size_t c = 0; c < kDimension; ++c) {
        values[i * kDimension + c] /= static_cast<float>(std::sqrt(square));
      }
    }
    geometry.set_values({values.data(), kLength, kDimension}, 0, 1, 0);
    GeometryQuery query;
    query.query = kLength - 1;
    Separability measured;
    geometry.measure(query, attention, {&measured, 1});
    // g_i and |s| of the selected, directly.
    std::vector<double> s(kDimension, 0.0);
    for (std::size_t r = 0; r < kSelected; ++r) {
      for (std::size_t c = 0; c < kDimension; ++c) {
        s[c] += weights[tokens.order[r]] * values[tokens.order[r] * kDimension + c];
      }
    }
    Conditions conditions(tokens, a, kSelected, 0.0);
    double squared_norm = 0.0;
    for (const double x : s) squared_norm += x * x;
    conditions.aggregate_norm = std::sqrt(squared_norm);
    for (std::size_t r = 0; r < kSelected; ++r) {
      const std::size_t i = tokens.order[r];
      double product = 0.0;
      for (std::size_t c = 0; c < kDimension; ++c) product += s[c] * values[i * kDimension + c];
      conditions.scores[r] = weights[i] * (2.0 * product - weights[i]);
    }
    const ConditionalBound bound =
        bound_of(tokens, a, conditions, {static_cast<int>(kSelected), 0.0, 1.0, 1.0});
    precision += measured.precision / kTrials;
    promised += bound.chernoff.precision / kTrials;
    if (bound.separating_dimension > static_cast<double>(kDimension)) continue;
    ++claimed;
    failed += measured.margin > 0.0 ? 0 : 1;
  }
  EXPECT_GT(claimed, kTrials / 4);
  EXPECT_LE(failed, 0.05 * claimed);
  EXPECT_LE(promised, precision + 1e-6);
}

TEST(DistributionFree, HoldsOnRandomHeadsAtEveryNAndIsSharpAtTheMargin) {
  constexpr std::size_t kLength = 24, kDimension = 6;
  GeometryOptions options;
  options.set_sizes.clear();
  for (int n = 1; n < static_cast<int>(kLength); ++n) options.set_sizes.push_back(n);
  options.rankings = {Ranking::attention};
  options.distances = {Distance::euclidean};
  HeadGeometry geometry(options);
  int perfect = 0, imperfect = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    // Logit sd 24 in a quarter of the heads: distances collapse, g does not.
    const std::array<double, 4> spreads = {0.0, 1.0, 4.0, 24.0};
    const SampleTokens tokens = random_tokens(kLength, spreads[seed % 4], seed);
    const std::vector<float> attention(tokens.contributions.begin(), tokens.contributions.end());
    std::vector<float> values(kLength * kDimension);
    Random random(seed);
    normal_draws(random, values);
    geometry.set_values({values.data(), kLength, kDimension}, 0, 1, 0);
    GeometryQuery query;
    query.query = kLength - 1;
    std::vector<Separability> measured(geometry.num_results());
    geometry.measure(query, attention, measured);
    for (std::size_t k = 0; k < measured.size(); ++k) {
      const Separability& m = measured[k];
      const Separation bound = distribution_free_bound(m.inversions, options.set_sizes[k]);
      EXPECT_GE(m.precision, bound.precision);
      EXPECT_GE(m.recall, bound.recall);
      EXPECT_GE(m.f_score, bound.f_score - 1e-15);
      const bool all_one = m.precision == 1.0 && m.recall == 1.0 && m.f_score == 1.0;
      EXPECT_EQ(m.inversions == 0.0, all_one) << seed << " N " << options.set_sizes[k];
      // g of two light tokens may differ by less than D can hold: the margin is of g's sign.
      EXPECT_EQ(m.margin > 0.0, all_one) << seed << " N " << options.set_sizes[k];
      (all_one ? perfect : imperfect) += 1;
    }
    EXPECT_EQ(measured[0].f_score, 1.0);  // (9)
  }
  EXPECT_GT(perfect, 100);
  EXPECT_GT(imperfect, 100);
}

TEST(OperatingRegime, CriticalSizeIsWhereTheInequalityTurns) {
  // Equal weights and cosine 0: |s_N|^2 = N w^2, so the condition is sqrt(d) < z sigma sqrt(N).
  const SampleTokens tokens(std::vector<double>(400, 0.0025));
  HeadAssumptions a = sample_assumptions(128.0);
  a.similarity = {};
  a.sink_similarity = 0.0;
  const std::vector<Residuals> residuals = {{2, 0.0, 1.0, 1.0}, {8, 0.0, 1.0, 1.0}};
  int expected = 0;
  for (int n = 2; n < 400; ++n) {
    const double z = std::sqrt(2.0 * std::log((400.0 - n) / 0.05));
    if (std::sqrt(128.0) < z * std::sqrt(static_cast<double>(n))) {
      expected = n - 1;
      break;
    }
  }
  EXPECT_EQ(critical_size(tokens.view(), a, residuals, 399), expected);
  EXPECT_FALSE(critical_size(tokens.view(), a, residuals, expected).has_value());
  a.similarity.constant = 0.9;  // crowded directions end it earlier
  EXPECT_LT(*critical_size(tokens.view(), a, residuals, 399), expected);
}

TEST(OperatingRegime, HalfSizeIsTheFirstBelowOneHalf) {
  const std::vector<SizedScore> curve = {
      {1, 1.0}, {2, std::nan("")}, {4, 0.5}, {8, 0.49}, {16, 0.6}};
  EXPECT_EQ(half_size(curve), 8);
  EXPECT_FALSE(half_size(std::span(curve).first(3)).has_value());
}

TEST(SinkThreshold, IsWhereTheSinkOvertakesTheNearestUnselected) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    SampleTokens tokens = random_tokens(30, 1.0, seed);
    tokens.contributions[0] = 1e-3 * static_cast<double>(1 + seed);
    tokens.order.erase(std::find(tokens.order.begin(), tokens.order.end(), 0u));
    tokens.order.insert(tokens.order.begin(), 0u);
    HeadAssumptions a = sample_assumptions();
    const SinkThreshold at = sink_threshold(tokens.view(), a, 5);
    ASSERT_EQ(at.left_out, 0u);
    for (const double step : {-1e-6, 1e-6}) {
      a.sink_similarity = at.similarity + step;
      const SinkThreshold moved = sink_threshold(tokens.view(), a, 5);
      EXPECT_EQ(moved.sink_score > moved.largest_unselected_score, step > 0.0);
      EXPECT_EQ(moved.similarity, at.similarity);
    }
  }
}

}  // namespace
}  // namespace toplens
