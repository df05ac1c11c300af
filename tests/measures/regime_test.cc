#include "measures/regime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include <toplens/error.h>

#include "measures/head_summary.h"
#include "measures/mixture_check.h"

namespace toplens {
namespace {

struct Case {
  SignatureMeans means;  // sink mass, final mass, log n_eff, separability, output ratio
  Regime regime;
  bool self;
  double margin;
};

TEST(Regime, FollowsTheRuleWithItsMargins) {
  const double log2 = std::log(2.0), log16 = std::log(16.0);
  const std::vector<Case> cases = {
      {{0.9, 0.0, log2, 1.0, 0.1}, Regime::reset, false, 0.8},
      {{0.5, 0.0, log16, 0.0, 0.5}, Regime::reset, false, 0.0},     // on the line: Reset
      {{0.9, 0.0, log2, 0.9, 0.8}, Regime::retriever, false, 0.6},  // writes too much for Reset
      {{0.0, 0.7, log2, 1.0, 1.0}, Regime::retriever, true, 2.0 / 3.0},
      {{0.0, 0.5, log2, 1.0, 1.0}, Regime::retriever, true, 2.0 / 3.0},  // on the line: self
      {{0.0, 0.2, std::log(8.0), 0.5, 1.0}, Regime::retriever, false, 0.0},
      {{0.0, 0.0, log16, 0.9, 1.0}, Regime::mixer, false, 1.0 / 3.0},
      {{0.0, 0.0, log2, 0.25, 1.0}, Regime::unclassified, false, 0.5},
  };
  for (const Case& c : cases) {
    const RegimeLabel label = classify(c.means, RegimeThresholds());
    EXPECT_EQ(label.regime, c.regime);
    EXPECT_EQ(label.self, c.self);
    EXPECT_NEAR(label.margin, c.margin, 1e-12);
  }
}

TEST(Regime, ThresholdsMoveTheLines) {
  RegimeThresholds thresholds;
  thresholds.set("effective_number", 32.0);
  EXPECT_EQ(classify({0.0, 0.0, std::log(16.0), 0.9, 1.0}, thresholds).regime, Regime::retriever);
  thresholds.set("sink_mass", 0.95);
  EXPECT_NE(classify({0.9, 0.0, 0.5, 1.0, 0.1}, thresholds).regime, Regime::reset);
}

TEST(Regime, BadThresholdsAreNamed) {
  RegimeThresholds thresholds;
  EXPECT_THAT([&] { thresholds.set("sink", 0.5); },
              ::testing::ThrowsMessage<Error>(::testing::AllOf(
                  ::testing::HasSubstr("'sink'"), ::testing::HasSubstr("output_ratio"),
                  ::testing::HasSubstr("least_visible_tokens"))));
  EXPECT_THROW(thresholds.set("sink_mass", 1.0), Error);
  EXPECT_THROW(thresholds.set("effective_number", 1.0), Error);
  EXPECT_THROW(thresholds.set("separability", std::numeric_limits<double>::quiet_NaN()), Error);
  EXPECT_EQ(thresholds, RegimeThresholds());
}

/// One head of one layer; documents with these sink masses, everything else a Mixer's.
MeasureRecords records_of(const std::vector<float>& sink_masses) {
  MeasuredShape shape{sink_masses.size(), 1, 1, {{64, "last"}}, {}};
  MeasureRecords records = make_measure_records(shape);
  for (std::size_t document = 0; document < sink_masses.size(); ++document) {
    float* row = records.measures.data() + document * kNumMeasures;
    row[index_of(Measure::sink_mass)] = sink_masses[document];
    row[index_of(Measure::final_mass)] = 0.0f;
    row[index_of(Measure::log_effective_number)] = std::log(32.0f);
    row[index_of(Measure::separability)] = 0.1f;
    row[index_of(Measure::head_output_norm)] = 0.1f;
    row[index_of(Measure::mean_value_norm)] = 1.0f;
  }
  return records;
}

TEST(Stability, IsTheShareOfResamplesWithTheSameLabel) {
  ThreadPool pool(2);
  const auto summary = [&](const std::vector<float>& masses) {
    const MeasureRecords records = records_of(masses);
    return summarize_heads(view_of(records), RegimeThresholds(), {}, pool).front();
  };
  // Reset exactly where the mean is at least 0.5: with masses 0 and 1, in k of n documents.
  const HeadSummary even = summary({0.0f, 1.0f, 1.0f, 0.0f, 1.0f});
  EXPECT_EQ(even.regime().label.regime, Regime::reset);
  // At least 3 of 5 draws with probability 3/5: 0.683.
  EXPECT_NEAR(even.regime().stability, 0.683, 0.03);
  EXPECT_EQ(summary({0.1f, 0.2f, 0.1f}).regime().stability, 1.0);
  const HeadSummary one = summary({0.9f});
  EXPECT_EQ(one.regime().label.regime, Regime::reset);
  EXPECT_TRUE(std::isnan(one.regime().stability));
  EXPECT_TRUE(std::isnan(one[Measure::sink_mass].low));
  EXPECT_EQ(one[Measure::sink_mass].documents, 1);
}

TEST(Stability, HeadsWithoutSignatureAreUndefinedWithTheirReason) {
  ThreadPool pool(1);
  MeasureRecords records = records_of({0.9f, 0.9f, 0.1f});
  records.reasons[0] = static_cast<std::int32_t>(SignatureReason::no_other_mass);
  records.reasons[1] = static_cast<std::int32_t>(SignatureReason::no_other_mass);
  // The one that has a signature decides.
  EXPECT_EQ(
      summarize_heads(view_of(records), RegimeThresholds(), {}, pool).front().regime().label.regime,
      Regime::mixer);
  records.reasons[2] = static_cast<std::int32_t>(SignatureReason::zero_values);
  const HeadSummary head = summarize_heads(view_of(records), RegimeThresholds(), {}, pool).front();
  EXPECT_EQ(head.regime().label.regime, Regime::undefined);
  EXPECT_EQ(head.regime().reason, SignatureReason::no_other_mass);
  EXPECT_TRUE(std::isnan(head.regime().label.margin));
}

}  // namespace
}  // namespace toplens
