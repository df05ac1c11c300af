#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "base/random.h"
#include "kernels/normal_draws.h"
#include "theory/exponential_decay.h"
#include "theory/fit_similarity.h"
#include "theory/recorded_head.h"

namespace toplens {
namespace {

constexpr std::size_t kLength = 257;

/// Records whose documents' mean cosines by lag are curve(k) plus an offset of the document and
/// white noise.
AssumptionRecords with_lag_curve(const std::function<double(double)>& curve, double offset_sd,
                                 double noise_sd, std::uint64_t seed, std::size_t documents = 32) {
  RecordedShape shape;
  shape.documents = documents;
  shape.layers = shape.heads = shape.kv_heads = 1;
  shape.head_dim = 64;
  shape.layout.length = kLength;
  AssumptionRecords records = make_assumption_records(shape);
  std::fill(records.value_norms.begin(), records.value_norms.end(), 1.0f);
  const std::size_t lags = shape.layout.lags();
  Random random(seed, {});
  std::vector<float> offsets(documents), noise(documents * lags);
  normal_draws(random, offsets);
  normal_draws(random, noise);
  for (std::size_t d = 0; d < documents; ++d) {
    for (std::size_t k = 0; k < lags; ++k) {
      records.lag_cosines[d * lags + k] =
          static_cast<float>(curve(static_cast<double>(k + 1)) + offset_sd * offsets[d] +
                             noise_sd * noise[d * lags + k]);
    }
  }
  return records;
}

SimilarityFit fit(const AssumptionRecords& records) {
  return fit_similarity(view_of(records), 0, 0, 2027);
}

TEST(SimilarityFit, FindsAnExactDecay) {
  const auto curve = [](double k) { return 0.2 + 0.5 * std::exp(-k / 7.3); };
  const SimilarityFit found = fit(with_lag_curve(curve, 0.0, 0.0, 1));
  EXPECT_EQ(found.decay_reason, FitReason::estimated);
  EXPECT_NEAR(found.similarity.constant, 0.2, 1e-6);
  EXPECT_NEAR(found.similarity.amplitude, 0.5, 1e-5);
  EXPECT_NEAR(found.similarity.length, 7.3, 1e-3);
  EXPECT_LT(found.mean_absolute_error, 1e-6);
  EXPECT_GT(found.r_squared, 1.0 - 1e-9);
  EXPECT_NEAR(found.log_length_error, 0.0, 1e-6);
  EXPECT_EQ(found.lags, 128u);
}

TEST(SimilarityFit, SaysWhyNoDecayIsPresent) {
  struct Case {
    const char* name;
    std::function<double(double)> curve;
    FitReason reason;
  };
  const std::vector<Case> cases = {
      {"constant", [](double) { return 0.3; }, FitReason::no_decay},
      {"increasing", [](double k) { return 0.3 - 0.2 * std::exp(-k / 20.0); },
       FitReason::increasing},
      {"slow", [](double k) { return 0.1 + 0.6 * std::exp(-k / 2000.0); },
       FitReason::longer_than_window},
      {"within one lag", [](double k) { return 0.2 + 0.7 * std::exp(-k / 0.35); },
       FitReason::within_one_lag},
  };
  for (const Case& test : cases) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      const SimilarityFit found = fit(with_lag_curve(test.curve, 0.004, 0.003, seed));
      EXPECT_EQ(found.decay_reason, test.reason)
          << test.name << ": " << describe(found.decay_reason) << " lambda " << found.length
          << " A " << found.amplitude << " R^2 " << found.held_out_r_squared;
      EXPECT_EQ(found.similarity.amplitude, 0.0);
      EXPECT_TRUE(std::isnan(found.similarity.length));
      EXPECT_NEAR(found.similarity.constant,
                  std::string_view(test.name) == "constant" ? 0.3 : found.similarity.constant,
                  0.01);
    }
  }
}

TEST(SimilarityFit, DecayThatDiffersBetweenDocumentsIsNotResolved) {
  // The curve's length is that of the few documents a resample happens to hold.
  AssumptionRecords records = with_lag_curve([](double) { return 0.1; }, 0.0, 0.0, 1, 16);
  const std::size_t lags = records.shape.layout.lags();
  for (std::size_t d = 0; d < 16; ++d) {
    const double length = d < 2 ? 60.0 : 2.0;
    const double amplitude = d < 2 ? 0.5 : 0.06;
    for (std::size_t k = 0; k < lags; ++k) {
      records.lag_cosines[d * lags + k] =
          static_cast<float>(amplitude * std::exp(-static_cast<double>(k + 1) / length));
    }
  }
  const SimilarityFit found = fit(records);
  EXPECT_GT(found.held_out_r_squared, 0.1);
  EXPECT_GT(found.log_length_error, 0.5);
  EXPECT_EQ(found.decay_reason, FitReason::decay_not_resolved);
}

TEST(SimilarityFit, WeighsLagsByTheirPairs) {
  // Noise in the last lag alone: with weight L - 1 - k it moves the constant by its share of pairs.
  AssumptionRecords records = with_lag_curve([](double) { return 0.25; }, 0.0, 0.0, 1);
  const std::size_t lags = records.shape.layout.lags();
  for (std::size_t d = 0; d < 32; ++d) records.lag_cosines[d * lags + lags - 1] = 0.75f;
  double pairs = 0.0;
  for (std::size_t k = 1; k <= lags; ++k) pairs += static_cast<double>(kLength - 1 - k);
  const SimilarityFit found = fit(records);
  EXPECT_NEAR(found.similarity.constant,
              0.25 + 0.5 * static_cast<double>(kLength - 1 - lags) / pairs, 1e-6);
  EXPECT_EQ(found.pairs, static_cast<std::size_t>(32.0 * pairs));
}

TEST(SimilarityFit, KeepsCosinesWithinTheirRange) {
  LagCurve curve;
  for (int k = 1; k <= 20; ++k) {
    curve.means.push_back(2.0 * std::exp(-k / 3.0));  // phi(1) = 1.43 is no cosine
    curve.pairs.push_back(100.0);
  }
  const ExponentialDecay decay = DecayGrid(20).fit(curve);
  EXPECT_LE(decay(1.0), 1.0 + 1e-9);
  EXPECT_LE(std::abs(decay.constant), 1.0 + 1e-9);
  EXPECT_GT(decay(1.0), 0.9);
}

TEST(SimilarityFit, SpreadIsBetweenDocuments) {
  const auto curve = [](double k) { return 0.2 + 0.5 * std::exp(-k / 7.0); };
  const SimilarityFit found = fit(with_lag_curve(curve, 0.05, 0.0, 4, 400));
  EXPECT_NEAR(found.first_lag_spread, 0.05, 0.005);
  EXPECT_NEAR(found.far_spread, 0.05, 0.005);
}

TEST(SimilarityFit, SevenDocumentsAreTooFew) {
  const auto curve = [](double k) { return 0.2 + 0.5 * std::exp(-k / 7.0); };
  const SimilarityFit found = fit(with_lag_curve(curve, 0.0, 0.0, 1, 7));
  EXPECT_EQ(found.reason, FitReason::too_few_documents);
  EXPECT_TRUE(std::isnan(found.similarity.constant));
  EXPECT_EQ(fit(with_lag_curve(curve, 0.0, 0.0, 1, 8)).reason, FitReason::estimated);
}

}  // namespace
}  // namespace toplens
