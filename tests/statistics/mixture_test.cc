#include "statistics/mixture.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace toplens {
namespace {

double normal(Random& random) {
  return std::sqrt(-2.0 * std::log(1.0 - random.uniform())) *
         std::cos(2.0 * 3.14159265358979323846 * random.uniform());
}

struct Sample {
  std::vector<double> points;
  std::vector<std::size_t> groups;
};

/// `sizes` points around centres `distance` standard deviations apart, standardised.
Sample draw(const std::vector<std::size_t>& sizes, std::size_t dimension, double distance,
            std::uint64_t seed) {
  Random random(seed);
  Sample sample;
  for (std::size_t group = 0; group < sizes.size(); ++group) {
    std::vector<double> centre(dimension);
    for (double& x : centre) x = distance * normal(random);
    for (std::size_t i = 0; i < sizes[group]; ++i) {
      for (std::size_t c = 0; c < dimension; ++c) {
        sample.points.push_back(centre[c] + normal(random));
      }
      sample.groups.push_back(group);
    }
  }
  const std::size_t count = sample.groups.size();
  for (std::size_t c = 0; c < dimension; ++c) {
    double sum = 0.0, square = 0.0;
    for (std::size_t i = 0; i < count; ++i) sum += sample.points[i * dimension + c];
    for (std::size_t i = 0; i < count; ++i) {
      square += std::pow(sample.points[i * dimension + c] - sum / double(count), 2);
    }
    for (std::size_t i = 0; i < count; ++i) {
      double& x = sample.points[i * dimension + c];
      x = (x - sum / double(count)) / std::sqrt(square / double(count - 1));
    }
  }
  return sample;
}

TEST(Mixture, FindsThreePlantedGroups) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const Sample sample = draw({20, 60, 40}, 9, 3.0, seed);
    const MixtureFit fit = fit_mixture({sample.points.data(), sample.groups.size(), 9});
    EXPECT_EQ(fit.components, 3u) << "seed " << seed;
    EXPECT_GE(adjusted_rand_index(fit.assignment, sample.groups), 0.95) << "seed " << seed;
  }
}

TEST(Mixture, FindsOneGroupWhereThereIsOne) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const Sample sample = draw({100}, 9, 0.0, seed);
    EXPECT_EQ(fit_mixture({sample.points.data(), 100, 9}).components, 1u) << "seed " << seed;
  }
}

TEST(Mixture, IsDeterministicAndNeedsEnoughPointsForAComponent) {
  const Sample sample = draw({12, 13}, 4, 5.0, 3);
  const MatrixView<const double> points(sample.points.data(), 25, 4);
  const MixtureFit fit = fit_mixture(points), again = fit_mixture(points);
  EXPECT_EQ(fit.components, 2u);
  EXPECT_EQ(fit.assignment, again.assignment);
  EXPECT_EQ(fit.bic, again.bic);
  ASSERT_EQ(fit.bic.size(), 6u);
  EXPECT_TRUE(fit.bic[1].has_value());
  EXPECT_FALSE(fit.bic[2].has_value()) << "25 points are too few for three components";
  EXPECT_EQ(fit_mixture(points.row_range(0, 9)).components, 0u);
}

TEST(AdjustedRandIndex, OfKnownTables) {
  const std::vector<std::size_t> a = {0, 0, 0, 1, 1, 1};
  EXPECT_EQ(adjusted_rand_index(a, std::vector<std::size_t>{5, 5, 5, 2, 2, 2}), 1.0);
  // Hubert and Arabie: (sum of cell pairs - expected) / (mean of margins - expected), by hand:
  // cells 2, 1, 1, 2: 2 pairs; rows 6, columns 6, all 15: expected 2.4, most 6.
  EXPECT_NEAR(adjusted_rand_index(a, std::vector<std::size_t>{0, 0, 1, 0, 1, 1}), -0.4 / 3.6,
              1e-12);
  EXPECT_EQ(adjusted_rand_index(std::vector<std::size_t>{1, 1}, std::vector<std::size_t>{3, 3}),
            1.0);
}

}  // namespace
}  // namespace toplens
