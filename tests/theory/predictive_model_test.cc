#include "theory/predictive_model.h"

#include <array>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>
#include <boost/math/distributions/normal.hpp>

#include "sample_tokens.h"

namespace toplens {
namespace {

using testing::cosine;
using testing::random_tokens;
using testing::sample_assumptions;
using testing::SampleTokens;

/// theory.md (20)-(23) as written, quadratic loops in float64.
Envelope reference_bounds(const RankedTokens& tokens, const HeadAssumptions& a, double delta,
                          const Residuals& residuals) {
  const std::size_t length = tokens.size();
  const auto n = static_cast<std::size_t>(residuals.set_size);
  std::vector<double> cw(length, 0.0), mean(length), variance(length);
  for (std::size_t r = 0; r < length; ++r) {
    for (std::size_t k = 0; k < n; ++k) {
      cw[r] += tokens.contribution_at(k) *
               cosine(a, tokens.sink_visible, tokens.order[r], tokens.order[k]);
    }
  }
  double squared_norm = 0.0;
  for (std::size_t r = 0; r < n; ++r) squared_norm += tokens.contribution_at(r) * cw[r];
  for (std::size_t r = 0; r < length; ++r) {
    const double w = tokens.contribution_at(r);
    const bool sink = tokens.is_sink(r);
    const double d2 = sink ? 0.0 : delta * delta;
    const double sigma = sink ? residuals.sigma_of_sink() : residuals.sigma;
    const double scale = 4.0 * w * w * sigma * sigma / a.dimension;
    if (r < n) {
      mean[r] = w * w * (1.0 + d2) + 2.0 * w * (cw[r] - w);
      variance[r] = scale * std::max(0.0, squared_norm - 2.0 * w * cw[r] + w * w) +
                    4.0 * w * w * d2 * cw[r] * cw[r];
    } else {
      mean[r] = 2.0 * w * (cw[r] + std::sqrt(squared_norm) * residuals.beta) - w * w * (1.0 + d2);
      variance[r] = scale * squared_norm + 4.0 * w * w * d2 * (cw[r] - w) * (cw[r] - w);
    }
  }
  std::vector<double> column_sum(length, 0.0), column_max(length, 0.0);
  double rows = 0.0, row_max = 0.0, largest = 0.0, columns = 0.0, column_maxima = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    double sum = 0.0, most = 0.0;
    for (std::size_t j = n; j < length; ++j) {
      const double v = variance[i] + variance[j];
      const double p =
          v > 0.0 ? boost::math::cdf(boost::math::normal(), (mean[j] - mean[i]) / std::sqrt(v))
                  : (mean[j] >= mean[i] ? 1.0 : 0.0);
      sum += p;
      most = std::max(most, p);
      column_sum[j] += p;
      column_max[j] = std::max(column_max[j], p);
    }
    rows += std::min(1.0, sum);
    row_max += most;
    largest = std::max(largest, most);
  }
  for (std::size_t j = n; j < length; ++j) {
    columns += std::min(1.0, column_sum[j]);
    column_maxima += column_max[j];
  }
  const auto size = static_cast<double>(n);
  Envelope e;
  e.lower.precision = size / (size + columns);
  e.lower.recall = 1.0 - rows / size;
  e.lower.f_score = std::max(0.0, e.lower.precision + e.lower.recall - 1.0);
  e.upper.precision =
      1.0 - std::max(largest / (size + 1.0), column_maxima / static_cast<double>(length));
  e.upper.recall = 1.0 - row_max / size;
  e.upper.f_score = 2.0 * e.upper.precision * e.upper.recall / (e.upper.precision + e.upper.recall);
  return e;
}

std::vector<Residuals> residuals_for(std::initializer_list<int> sizes) {
  std::vector<Residuals> residuals;
  for (const int size : sizes) residuals.push_back({size, 0.02, 0.9, 0.6});
  return residuals;
}

TEST(PredictiveModel, BoundsEqualThePlainLoops) {
  const std::vector<Residuals> residuals = residuals_for({1, 2, 3, 8, 40, 99});
  for (const double log_sd : {0.0, 0.3, 2.0, 6.0, 24.0}) {
    for (const bool sink_visible : {true, false}) {
      for (const double delta : {0.0, 0.2}) {
        const SampleTokens tokens = random_tokens(100, log_sd, 3);
        PredictiveModel model(4);
        model.start(100, Random(1));
        std::vector<Envelope> envelopes(residuals.size());
        model.evaluate(tokens.view(sink_visible), sample_assumptions(), delta, residuals,
                       envelopes);
        for (std::size_t k = 1; k < residuals.size(); ++k) {
          SCOPED_TRACE(::testing::Message() << "log sd " << log_sd << ", N "
                                            << residuals[k].set_size << ", delta " << delta);
          const Envelope expected = reference_bounds(tokens.view(sink_visible),
                                                     sample_assumptions(), delta, residuals[k]);
          EXPECT_NEAR(envelopes[k].lower.precision, expected.lower.precision, 1e-5);
          EXPECT_NEAR(envelopes[k].lower.recall, expected.lower.recall, 1e-5);
          EXPECT_NEAR(envelopes[k].lower.f_score, expected.lower.f_score, 2e-5);
          EXPECT_NEAR(envelopes[k].upper.precision, expected.upper.precision, 1e-5);
          EXPECT_NEAR(envelopes[k].upper.recall, expected.upper.recall, 1e-5);
          EXPECT_NEAR(envelopes[k].upper.f_score, expected.upper.f_score, 2e-5);
        }
      }
    }
  }
}

TEST(PredictiveModel, CentreLiesInTheEnvelopeAndOneTokenIsPerfect) {
  const std::vector<Residuals> residuals = residuals_for({1, 2, 4, 16, 64, 199, 200});
  for (const double log_sd : {0.5, 2.0, 6.0}) {
    const SampleTokens tokens = random_tokens(200, log_sd, 8);
    PredictiveModel model(3000);
    model.start(200, Random(1));
    std::vector<Envelope> envelopes(residuals.size());
    // Without spread of the norms (20) is linear in the noise, so (21) is exact.
    model.evaluate(tokens.view(), sample_assumptions(), 0.0, residuals, envelopes);
    for (const auto metric : {&Separation::precision, &Separation::recall, &Separation::f_score}) {
      EXPECT_EQ(envelopes[0].lower.*metric, 1.0);
      EXPECT_EQ(envelopes[0].centre.*metric, 1.0);
      EXPECT_EQ(envelopes[0].upper.*metric, 1.0);
      for (std::size_t k = 1; k + 1 < residuals.size(); ++k) {
        SCOPED_TRACE(residuals[k].set_size);
        EXPECT_LE(envelopes[k].lower.*metric, envelopes[k].centre.*metric + 0.02);
        EXPECT_GE(envelopes[k].upper.*metric, envelopes[k].centre.*metric - 0.02);
      }
      EXPECT_TRUE(std::isnan(envelopes.back().centre.*metric));  // N = L
    }
  }
}

TEST(PredictiveModel, PairsOfTheScalarModelInvertAsOftenAsTheNormalTailSays) {
  // L = 3, N = 2: E[P], E[R] of (24) against a direct simulation with its own normal numbers.
  const SampleTokens tokens({0.35, 0.33, 0.32});
  const HeadAssumptions a = sample_assumptions(8.0);
  const std::vector<Residuals> residuals = residuals_for({2});
  PredictiveModel model(20000);
  model.start(3, Random(2));
  std::array<Envelope, 1> envelope;
  model.evaluate(tokens.view(false), a, 0.0, residuals, envelope);

  const std::array<double, 3> w = {0.35, 0.33, 0.32};
  const double phi1 = a.similarity(1), phi2 = a.similarity(2);
  const double norm = std::sqrt(w[0] * w[0] + w[1] * w[1] + 2 * w[0] * w[1] * phi1);
  Random random(77);
  const auto normal = [&] {
    return boost::math::quantile(boost::math::normal(), random.uniform() * 0.9999999 + 5e-8);
  };
  const double scale = 0.9 / std::sqrt(8.0);
  double precision = 0.0, recall = 0.0;
  constexpr int kDraws = 40000;
  for (int k = 0; k < kDraws; ++k) {
    const double g0 = w[0] * w[0] + 2 * w[0] * (w[1] * phi1 + scale * w[1] * normal());
    const double g1 = w[1] * w[1] + 2 * w[1] * (w[0] * phi1 + scale * w[0] * normal());
    const double g2 =
        2 * w[2] * (w[0] * phi2 + w[1] * phi1 + norm * (0.02 + scale * normal())) - w[2] * w[2];
    precision += (g2 >= std::min(g0, g1) ? 2.0 / 3.0 : 1.0) / kDraws;
    recall += 0.5 * ((g0 > g2 ? 1.0 : 0.0) + (g1 > g2 ? 1.0 : 0.0)) / kDraws;
  }
  EXPECT_NEAR(envelope[0].centre.precision, precision, 0.008);
  EXPECT_NEAR(envelope[0].centre.recall, recall, 0.015);
}

TEST(PredictiveModel, GivesNothingWhereTheResidualsAreUnknown) {
  const SampleTokens tokens = random_tokens(20, 1.0, 8);
  std::vector<Residuals> residuals = residuals_for({2, 4});
  residuals[0].sigma = std::nan("");
  PredictiveModel model(2);
  model.start(20, Random(1));
  std::vector<Envelope> envelopes(2);
  model.evaluate(tokens.view(), sample_assumptions(), 0.1, residuals, envelopes);
  EXPECT_TRUE(std::isnan(envelopes[0].lower.precision));
  EXPECT_FALSE(std::isnan(envelopes[1].lower.precision));
}

TEST(EnvelopeDocuments, AreSpreadEvenly) {
  EnvelopeOptions options;
  EXPECT_EQ(envelope_documents(options, 3), (std::vector<std::size_t>{0, 1, 2}));
  options.documents = 4;
  EXPECT_EQ(envelope_documents(options, 10), (std::vector<std::size_t>{0, 2, 5, 7}));
  EXPECT_EQ(envelope_documents(options, 2), (std::vector<std::size_t>{0, 1}));
}

}  // namespace
}  // namespace toplens
