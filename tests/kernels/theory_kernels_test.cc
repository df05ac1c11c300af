#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include <gtest/gtest.h>
#include <boost/math/distributions/normal.hpp>

#include "base/aligned_vector.h"
#include "base/random.h"
#include "kernels/gram.h"
#include "kernels/normal_draws.h"
#include "kernels/normal_tail.h"
#include "kernels/scalar_model.h"
#include "support/simd_targets.h"

namespace toplens {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double exact_tail(double z) {
  return boost::math::cdf(boost::math::complement(boost::math::normal(), z));
}

TEST(NormalTail, AgreesWithBoostOnEveryTarget) {
  std::vector<double> z;
  for (double x = -9.0; x <= 9.0; x += 0.0037) z.push_back(x);
  testing::for_each_target([&] {
    std::vector<float> tails(z.size());
    normal_tail(z, tails);
    for (std::size_t k = 0; k < z.size(); ++k) {
      const double exact = exact_tail(z[k]);
      ASSERT_NEAR(tails[k], exact, 1e-6) << z[k];
      if (std::abs(z[k]) <= 7.0) {
        ASSERT_NEAR(tails[k] / exact, 1.0, 4e-6) << z[k];
      }
    }
  });
}

TEST(NormalTail, EndsAreZeroAndOne) {
  const std::array<double, 4> z = {-kInfinity, -1e200, 1e200, kInfinity};
  std::array<float, 4> tails{};
  normal_tail(z, tails);
  EXPECT_EQ(tails, (std::array<float, 4>{1.0f, 1.0f, 0.0f, 0.0f}));
}

/// Moments of 150 competitors over many orders of magnitude, padded.
struct Competitors {
  static constexpr std::size_t kCount = 150;
  AlignedVector<double> means, spreads;

  explicit Competitors(double padding_spread)
      : means(padded_to_tail_block(kCount), kNoCompetitor), spreads(means.size(), padding_spread) {
    Random random(5);
    for (std::size_t j = 0; j < kCount; ++j) {
      const double scale = std::pow(10.0, -12.0 * random.uniform());
      means[j] = scale * (random.uniform() - 0.3);
      spreads[j] = scale * random.uniform();
    }
  }
};

TEST(CompetitorTails, EqualThePlainLoopOnEveryTarget) {
  Competitors t(1.0);
  for (double& spread : t.spreads) spread = 1.0 / spread;
  testing::for_each_target([&] {
    for (const double score : {-0.1, 0.0, 1e-9, 1e-3, 0.2, 2.0}) {
      double chernoff = 0.0, gaussian = 0.0;
      for (std::size_t j = 0; j < Competitors::kCount; ++j) {
        const double z = (score - t.means[j]) * t.spreads[j];
        chernoff += z > 0.0 ? std::exp(-0.5 * z * z) : 1.0;
        gaussian += exact_tail(z);
      }
      const TailSums sums =
          competitor_tails(score, t.means.data(), t.spreads.data(), t.means.size(), kInfinity);
      EXPECT_NEAR(sums.chernoff, chernoff, 4e-6 * chernoff + 1e-8);
      EXPECT_NEAR(sums.gaussian, gaussian, 4e-6 * gaussian + 1e-8);
    }
    // Nothing is far from its mean: a sum that is enough ends the walk.
    const TailSums sums =
        competitor_tails(-1.0, t.means.data(), t.spreads.data(), t.means.size(), 1.0);
    EXPECT_GE(sums.gaussian, 1.0);
    EXPECT_LE(sums.gaussian, double{kTailBlock});
  });
}

/// The rows `means` and `variances` against the competitors, beside a plain float64 loop.
void compare_pairs(std::span<const double> means, std::span<const double> variances,
                   std::span<const double> other_means, std::span<const double> other_variances) {
  const std::size_t count = other_means.size();
  std::vector<double> expected_sums(count), expected_maxima(count);
  PairwiseTails pairs;
  pairs.start(other_means, other_variances);
  for (std::size_t i = 0; i < means.size(); ++i) {
    double row = 0.0, largest = 0.0;
    for (std::size_t j = 0; j < count; ++j) {
      const double variance = variances[i] + other_variances[j];
      const double p = variance > 0.0
                           ? exact_tail((means[i] - other_means[j]) / std::sqrt(variance))
                           : (other_means[j] >= means[i] ? 1.0 : 0.0);
      row += p;
      largest = std::max(largest, p);
      expected_sums[j] += p;
      expected_maxima[j] = std::max(expected_maxima[j], p);
    }
    const PairTails tails = pairs.add(means[i], variances[i]);
    EXPECT_NEAR(tails.sum, row, 2e-5 * row + 1e-8);
    EXPECT_NEAR(tails.largest, largest, 2e-6);
  }
  for (std::size_t j = 0; j < count; ++j) {
    EXPECT_NEAR(pairs.column_sums()[j], expected_sums[j], 4e-6) << j;
    EXPECT_NEAR(pairs.column_maxima()[j], expected_maxima[j], 2e-6) << j;
  }
}

TEST(PairwiseTails, EqualThePlainLoopOnEveryTarget) {
  const Competitors t(1.0);
  std::vector<double> means(t.means.begin(), t.means.begin() + Competitors::kCount);
  std::vector<double> variances(t.spreads.begin(), t.spreads.begin() + Competitors::kCount);
  const std::array<double, 4> own_means = {0.25, 1e-5, -1e-9, 3.0};
  const std::array<double, 4> own_variances = {0.0, 1e-11, 1e-20, 0.5};
  testing::for_each_target([&] {
    // All variances within float32's reach, at any scale of the whole.
    for (const double scale : {1.0, 1e-60, 1e60}) {
      std::vector<double> m = means, v = variances, own_m, own_v;
      for (double& x : m) x *= scale;
      for (double& x : v) x *= scale * scale;
      for (const double x : own_means) own_m.push_back(x * scale);
      for (const double x : own_variances) own_v.push_back(x * scale * scale);
      compare_pairs(own_m, own_v, m, v);
    }
    // Out of its reach, and no noise at all on either side.
    std::vector<double> m = means, v = variances;
    m[7] = 0.25;
    m[8] = 0.25 + 1e-15;
    m[9] = 0.25 - 1e-15;
    v[7] = v[8] = v[9] = 0.0;
    v[10] = 1e-70;
    m[10] = 1e-35;
    compare_pairs(own_means, own_variances, m, v);
    std::fill(v.begin(), v.end(), 0.0);
    compare_pairs(own_means, std::array<double, 4>{}, m, v);
  });
}

// Tails between 2e-12 and 4e-6, block after block of them: one is nothing beside a tail of 1/2, but
// small probabilities of failure are sums of them over many tokens.
class SmallTails : public ::testing::Test {
 protected:
  static constexpr std::size_t kCount = 16 * kTailBlock;
  static double z(std::size_t j) { return 4.5 + 2.4 * static_cast<double>(j) / kCount; }  // to 6.9
};

TEST_F(SmallTails, AreInTheSumsOfCompetitorsOnEveryTarget) {
  AlignedVector<double> centres(kCount), inverse_sds(kCount, 1.0);
  for (std::size_t j = 0; j < kCount; ++j) centres[j] = -z(j);
  testing::for_each_target([&] {
    // The last block, the last two, ...: in these sums nothing larger hides what is missing.
    double chernoff = 0.0, gaussian = 0.0;
    for (std::size_t first = kCount; first > 0;) {
      for (const std::size_t end = first; first > end - kTailBlock; --first) {
        chernoff += std::exp(-0.5 * z(first - 1) * z(first - 1));
        gaussian += exact_tail(z(first - 1));
      }
      const TailSums sums = competitor_tails(0.0, centres.data() + first, inverse_sds.data(),
                                             kCount - first, kInfinity);
      EXPECT_NEAR(sums.chernoff / chernoff, 1.0, 4e-6) << first;
      EXPECT_NEAR(sums.gaussian / gaussian, 1.0, 4e-6) << first;
    }
  });
}

TEST_F(SmallTails, AreInTheSumsOfPairsOnEveryTarget) {
  double expected = 0.0;
  for (std::size_t j = 0; j < kCount; ++j) expected += exact_tail(z(j));
  // Variances within float32's range and far below it, which are two kernels. The last competitor
  // sets the scale; its tail is 0.
  for (const double scale : {1.0, 1e-100}) {
    std::vector<double> means(kCount), variances(kCount, scale * scale);
    for (std::size_t j = 0; j < kCount; ++j) means[j] = -scale * z(j);
    means.push_back(-100.0);
    variances.push_back(1.0);
    testing::for_each_target([&] {
      PairwiseTails pairs;
      pairs.start(means, variances);
      EXPECT_NEAR(pairs.add(0.0, 0.0).sum / expected, 1.0, 2e-5) << scale;
      for (std::size_t j = 0; j < kCount; ++j) {
        ASSERT_NEAR(pairs.column_sums()[j] / exact_tail(z(j)), 1.0, 2e-5) << scale << " " << z(j);
      }
    });
  }
}

TEST(NormalDraws, HaveTheMomentsAndTailsOfTheNormal) {
  testing::for_each_target([] {
    Random random(11);
    std::vector<float> z(400001);  // not a whole number of blocks
    normal_draws(random, z);
    const auto count = static_cast<double>(z.size());
    std::array<double, 5> moments{};
    double beyond_two = 0.0, neighbours = 0.0;
    for (std::size_t k = 0; k < z.size(); ++k) {
      const double x = z[k];
      ASSERT_LT(std::abs(x), 6.7);
      for (int power = 1; power <= 4; ++power) {
        moments[static_cast<std::size_t>(power)] += std::pow(x, power) / count;
      }
      beyond_two += x > 2.0 ? 1.0 / count : 0.0;
      if (k > 0) neighbours += x * double{z[k - 1]} / count;
    }
    EXPECT_NEAR(moments[1], 0.0, 4.0 / std::sqrt(count));
    EXPECT_NEAR(moments[2], 1.0, 4.0 * std::sqrt(2.0 / count));
    EXPECT_NEAR(moments[3], 0.0, 4.0 * std::sqrt(15.0 / count));
    EXPECT_NEAR(moments[4], 3.0, 4.0 * std::sqrt(96.0 / count));
    EXPECT_NEAR(beyond_two, exact_tail(2.0), 4.0 * std::sqrt(0.023 / count));
    EXPECT_NEAR(neighbours, 0.0, 4.0 / std::sqrt(count));

    std::vector<float> n(z.size());
    log_normal_from_normal(z, 0.4, n);
    double mean = 0.0, square = 0.0;
    for (const float x : n) {
      mean += double{x} / count;
      square += double{x} * x / count;
    }
    EXPECT_NEAR(mean, 1.0, 4.0 * 0.4 / std::sqrt(count));
    EXPECT_NEAR(square, 1.16, 0.01);
    log_normal_from_normal(z, 0.0, n);
    EXPECT_TRUE(std::all_of(n.begin(), n.end(), [](float x) { return x == 1.0f; }));
  });
}

TEST(ScalarModel, CountsAsAPlainLoopOnEveryTarget) {
  Random random(3);
  for (const std::size_t tokens : {2u, 9u, 64u, 101u}) {
    for (const std::size_t selected : {std::size_t{1}, tokens / 2, tokens - 1}) {
      const std::size_t padded = padded_to_lanes(tokens);
      AlignedVector<double> linear(padded), noise(padded), square(padded), scores(padded + 8);
      AlignedVector<float> z(padded), n(padded);
      std::vector<double> g(tokens);
      for (std::size_t k = 0; k < tokens; ++k) {
        // Small integers: exact, and with many ties.
        linear[k] = static_cast<double>(random.below(9)) - (k < selected ? 0.0 : 4.0);
        noise[k] = static_cast<double>(random.below(3));
        square[k] = static_cast<double>(random.below(5)) - 2.0;
        z[k] = static_cast<float>(random.below(5)) - 2.0f;
        n[k] = static_cast<float>(1 + random.below(2));
        g[k] = n[k] * (linear[k] + noise[k] * z[k] + square[k] * n[k]);
      }
      const auto middle = g.begin() + static_cast<std::ptrdiff_t>(selected);
      const double smallest = *std::min_element(g.begin(), middle);
      const double largest = *std::max_element(middle, g.end());
      testing::for_each_target([&] {
        const ScalarModelCounts counts =
            count_draw({linear.data(), noise.data(), square.data(), selected, tokens}, z.data(),
                       n.data(), scores.data());
        EXPECT_EQ(counts.contaminating,
                  static_cast<std::uint64_t>(
                      std::count_if(middle, g.end(), [&](double x) { return x >= smallest; })));
        EXPECT_EQ(counts.clear, static_cast<std::uint64_t>(std::count_if(
                                    g.begin(), middle, [&](double x) { return x > largest; })));
      });
    }
  }
}

}  // namespace
}  // namespace toplens
