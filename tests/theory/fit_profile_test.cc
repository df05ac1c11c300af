#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numbers>
#include <vector>

#include "base/random.h"
#include "kernels/normal_draws.h"
#include "statistics/moments.h"
#include "theory/fit_profile.h"
#include "theory/recorded_head.h"

namespace toplens {
namespace {

/// Records whose attention is softmax(level(x) + sd * AR(1) noise of this lag-1 correlation).
AssumptionRecords with_profile(const std::function<double(int)>& level, int length, double sd,
                               double correlation, std::uint64_t seed, std::size_t documents = 32) {
  RecordedShape shape;
  shape.documents = documents;
  shape.layers = shape.heads = shape.kv_heads = 1;
  shape.head_dim = 8;
  shape.layout.length = static_cast<std::size_t>(length);
  AssumptionRecords records = make_assumption_records(shape);
  std::vector<float> normal(static_cast<std::size_t>(length));
  for (std::size_t d = 0; d < documents; ++d) {
    Random random(seed, {d});
    normal_draws(random, normal);
    std::vector<double> log_weights;
    double noise = double{normal[0]};
    for (int x = 0; x < length; ++x) {
      noise = correlation * noise + std::sqrt(1.0 - correlation * correlation) *
                                        double{normal[static_cast<std::size_t>(x)]};
      log_weights.push_back(level(x) + sd * noise);
    }
    normalise_log_weights(log_weights);
    std::copy(log_weights.begin(), log_weights.end(),
              records.weights.begin() + static_cast<std::ptrdiff_t>(d) * length);
  }
  return records;
}

ProfileFit fit(const AssumptionRecords& records) { return fit_profile(view_of(records), 0, 0); }

TEST(ProfileFit, RecoversPlantedPhases) {
  constexpr int kLength = 512;
  const auto level = [](int x) {
    if (x == 0) return 5.0;
    if (x >= 460) return 3.0 - (kLength - 1 - x) / 20.0;
    if (x >= 150) return 0.8 * std::cos(2.0 * std::numbers::pi * x / 24.0 + 1.0);
    return 0.0;
  };
  for (const double correlation : {0.0, 0.8}) {
    const ProfileFit found = fit(with_profile(level, kLength, 1.0, correlation, 3));
    ASSERT_TRUE(found.profile);
    const AttentionProfile& profile = *found.profile;
    EXPECT_TRUE(found.recency.present());
    EXPECT_TRUE(found.oscillation.present());
    EXPECT_NEAR(profile.oscillation_start, 150, 12);
    EXPECT_NEAR(profile.recency_start, 460, 10);
    EXPECT_NEAR(profile.period, 24.0, 0.2);
    EXPECT_NEAR(profile.amplitude, 0.8, 0.1);
    // The phase at the middle of the segment: at position 0 it moves with the period.
    const double middle = 305.0;
    EXPECT_NEAR(std::cos(2.0 * std::numbers::pi * middle / profile.period + profile.phase),
                std::cos(2.0 * std::numbers::pi * middle / 24.0 + 1.0), 0.3);
    EXPECT_NEAR(profile.recency_length, 20.0, 4.0);
    EXPECT_NEAR(profile.recency_log_weight - profile.plateau_log_weight, 3.0, 0.35);
    EXPECT_NEAR(profile.sink_log_weight - profile.plateau_log_weight, 5.0, 0.5);
    EXPECT_NEAR(profile.residual_sd, 1.0, 0.1);
    EXPECT_GT(found.r_squared, correlation == 0.0 ? 0.9 : 0.7);
    EXPECT_NEAR(found.sink.mass + found.plateau.mass + found.oscillation.mass + found.recency.mass,
                1.0, 1e-6);
    EXPECT_EQ(found.plateau.begin, 1);
    EXPECT_EQ(found.plateau.end, found.oscillation.begin);
    EXPECT_EQ(found.oscillation.end, found.recency.begin);
    EXPECT_EQ(found.recency.end, kLength);
    EXPECT_LT(found.oscillation_p_value, 1e-4);
  }
}

TEST(ProfileFit, RecencyAlone) {
  const auto level = [](int x) { return x >= 200 ? 2.0 - (255 - x) / 10.0 : -1.0; };
  const ProfileFit found = fit(with_profile(level, 256, 0.5, 0.0, 8));
  ASSERT_TRUE(found.recency.present());
  EXPECT_FALSE(found.oscillation.present());
  EXPECT_EQ(found.profile->oscillation_start, found.profile->recency_start);
  EXPECT_NEAR(found.profile->recency_length, 10.0, 2.0);
  EXPECT_EQ(found.plateau.end, found.profile->recency_start);
}

TEST(ProfileFit, SpreadBetweenDocuments) {
  AssumptionRecords records = with_profile([](int) { return -1.0; }, 256, 0.5, 0.0, 8);
  const std::size_t documents = records.shape.documents;
  std::vector<double> masses(documents, 0.0);
  for (std::size_t d = 0; d < documents; ++d) {
    for (std::size_t x = 1; x < 256; ++x) {
      float& weight = records.weights[d * 256 + x];
      if (d % 2 == 1) weight *= std::exp(0.5f);  // every other document attends the sink less
      masses[d] += double{weight};
    }
  }
  const ProfileFit found = fit(records);
  ASSERT_FALSE(found.recency.present());
  EXPECT_NEAR(found.plateau.mass_spread, standard_deviation(masses), 1e-9);
  EXPECT_GT(found.plateau.mass_spread, 0.1);
  EXPECT_NEAR(found.plateau.level_spread, 0.25, 0.05);
}

TEST(ProfileFit, NoiseShowsNoOscillation) {
  for (const double correlation : {0.0, 0.5, 0.9, 0.98}) {
    int found = 0;
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
      const auto flat = [](int) { return 0.0; };
      found += fit(with_profile(flat, 256, 1.0, correlation, 1000 + seed)).oscillation.present();
    }
    EXPECT_LE(found, 6) << "correlation " << correlation;
  }
}

TEST(ProfileFit, OscillationOfRandomPhaseIsNotOfThePosition) {
  AssumptionRecords records = with_profile([](int) { return 0.0; }, 256, 0.3, 0.0, 2);
  for (std::size_t d = 0; d < 32; ++d) {
    std::vector<double> logs;
    for (std::size_t x = 0; x < 256; ++x) {
      logs.push_back(std::log(double{records.weights[d * 256 + x]}) +
                     std::cos(2.0 * std::numbers::pi * static_cast<double>(x) / 16.0 +
                              2.399963 * static_cast<double>(d)));
    }
    normalise_log_weights(logs);
    std::copy(logs.begin(), logs.end(),
              records.weights.begin() + static_cast<std::ptrdiff_t>(d) * 256);
  }
  EXPECT_FALSE(fit(records).oscillation.present());
}

TEST(ProfileFit, FifteenDocumentsDoNotTestAnOscillation) {
  const auto level = [](int x) { return std::cos(2.0 * std::numbers::pi * x / 16.0); };
  EXPECT_EQ(fit(with_profile(level, 256, 0.2, 0.0, 2, 15)).oscillation.reason,
            FitReason::too_few_documents_for_oscillation);
  EXPECT_TRUE(fit(with_profile(level, 256, 0.2, 0.0, 2, 16)).oscillation.present());
}

TEST(ProfileFit, ZeroWeightsAreLeftOutAndCounted) {
  const auto level = [](int x) { return x >= 48 ? 2.0 - (63 - x) / 4.0 : -1.0; };
  AssumptionRecords records = with_profile(level, 64, 0.2, 0.0, 8);
  const ProfileFit whole = fit(records);
  for (std::size_t d = 0; d < 32; ++d) records.weights[d * 64 + 5] = 0.0f;
  records.weights[70] = 0.0f;
  const ProfileFit found = fit(records);
  EXPECT_EQ(found.zero_weights, 33u);
  EXPECT_EQ(found.log_weights, 32u * 63u - 33u);
  ASSERT_TRUE(found.profile);
  EXPECT_NEAR(found.profile->recency_length, whole.profile->recency_length, 1e-6);
  EXPECT_NEAR(found.profile->plateau_log_weight, whole.profile->plateau_log_weight, 0.02);
}

}  // namespace
}  // namespace toplens
