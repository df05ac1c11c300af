// The claims of theory.md 4, 5 and 9 on heads of the generative model, with known parameters.

#include "theory/simulation.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "statistics/rank_correlation.h"
#include "theory/theory_summary.h"

namespace toplens {
namespace {

/// 200 heads over d in {64, 128, 256} and L in {256, 1024}.
const std::vector<HeadTheory>& population() {
  static const std::vector<HeadTheory> heads = [] {
    std::vector<HeadTheory> all;
    ThreadPool pool(2);
    for (const double length : {256.0, 1024.0}) {
      for (const double dimension : {64.0, 128.0, 256.0}) {
        PopulationOptions settings;
        settings.heads = length > 256.0 ? 33 : 34;
        settings.kept.length = length;
        settings.kept.dimension = dimension;
        SimulationOptions options;
        options.documents = 12;
        for (HeadTheory& head : simulate_population(settings, options, pool).unaware) {
          all.push_back(std::move(head));
        }
      }
    }
    return all;
  }();
  return heads;
}

TEST(Simulation, ChernoffBoundsLieBelowTheMeasuredMeanInEveryCell) {
  std::size_t cells = 0;
  for (const HeadTheory& head : population()) {
    for (const TheoryAtSize& size : head.sizes) {
      const auto expect_below = [&](const MeasuredMean& bound, const MeasuredMean& measured) {
        const double error = std::hypot(bound.standard_error, measured.standard_error);
        EXPECT_LE(bound.mean, measured.mean + 3.0 * error + 1e-6) << "N " << size.set_size;
        ++cells;
      };
      expect_below(size.chernoff_precision, size.precision);
      expect_below(size.chernoff_recall, size.recall);
    }
  }
  EXPECT_GT(cells, 3000u);
}

TEST(Simulation, GaussianPrecisionIsWithinFiveHundredthsInMostCells) {
  double cells = 0.0, near = 0.0;
  for (const HeadTheory& head : population()) {
    for (const TheoryAtSize& size : head.sizes) {
      if (size.set_size < 2) continue;
      cells += 1.0;
      near += std::abs(size.gaussian.precision - size.precision.mean) <= 0.05 ? 1.0 : 0.0;
    }
  }
  EXPECT_GE(near / cells, 0.85);
}

TEST(Simulation, EnvelopeCoversAndItsCentreBeatsTheBaseline) {
  for (const auto& [metric, metric_name] : kMetricNames) {
    SCOPED_TRACE(metric_name);
    const CoverageSummary s = summarize_coverage(coverage_cells(population(), metric));
    EXPECT_EQ(s.heads, 201u);
    EXPECT_GE(s.coverage.mean, 0.95);
    EXPECT_LE(s.strict_coverage.mean, s.coverage.mean);
    EXPECT_LE(s.width.mean, 0.75);
    EXPECT_LE(s.centre_error.mean, 0.04);
    EXPECT_LT(s.centre_error.interval->high, 0.5 * s.baseline_error.mean);
  }
}

TEST(Simulation, PredictedAndMeasuredHalfSizesOrderHeadsAlike) {
  std::vector<double> measured, predicted;
  const auto number = [](const std::optional<int>& size) {
    return size ? double(*size) : std::numeric_limits<double>::infinity();
  };
  for (const HeadTheory& head : population()) {
    measured.push_back(number(head.measured_half));
    predicted.push_back(number(head.predicted_half));
  }
  EXPECT_GE(*spearman(measured, predicted).value, 0.9);
}

TEST(Simulation, DistributionFreeBoundsLieBelowTheMeans) {
  for (const HeadTheory& head : population()) {
    for (const TheoryAtSize& size : head.sizes) {
      EXPECT_LE(size.distribution_free.precision, size.precision.mean + 1e-12);
      EXPECT_LE(size.distribution_free.recall, size.recall.mean + 1e-12);
    }
  }
}

TEST(Simulation, DoesNotDependOnTheNumberOfWorkers) {
  PopulationOptions settings;
  settings.heads = 3;
  settings.kept.length = 64;
  settings.kept.dimension = 16;
  settings.violation = {Violation::no_decay, 1.0};
  SimulationOptions options;
  options.documents = 3;
  options.envelope.documents = 2;
  options.ranking = Ranking::contribution;
  ThreadPool one(1), two(2);
  const Population a = simulate_population(settings, options, one);
  const Population b = simulate_population(settings, options, two);
  ASSERT_EQ(a.aware.size(), 3u);
  for (std::size_t h = 0; h < 3; ++h) {
    ASSERT_EQ(a.unaware[h].sizes.size(), 6u);  // those below L = 64
    for (std::size_t n = 0; n < 6; ++n) {
      EXPECT_EQ(a.aware[h].sizes[n].envelope.centre.f_score,
                b.aware[h].sizes[n].envelope.centre.f_score);
      EXPECT_EQ(a.unaware[h].sizes[n].chernoff_recall.mean,
                b.unaware[h].sizes[n].chernoff_recall.mean);
    }
  }
}

TEST(Simulation, RecallRisesWithTheSinksSimilarityWhereItIsSelected) {
  SimulationOptions options;
  options.documents = 8;
  options.set_sizes = {4};
  HeadSimulator simulator(options);
  const auto recall = [&](double sink_similarity) {
    GenerativeParameters p;
    p.length = 256;
    p.sink_mass = 0.5;
    p.sink_norm_ratio = 0.05;
    p.similarity = 0.5;
    p.decay_amplitude = 0.2;
    p.sink_similarity = sink_similarity;
    double sum = 0.0;
    for (std::uint64_t head = 0; head < 8; ++head) {
      const std::vector<HeadAssumptions> told = {true_assumptions(p)};
      sum += simulator.simulate(GenerativeHead(p, {}, 1, head), head, told)[0].sizes[0].recall.mean;
    }
    return sum / 8.0;
  };
  EXPECT_GT(recall(0.7), recall(-0.3) + 0.1);
}

TEST(Coverage, FollowsItsDefinition) {
  const MeasuredMean agreeing = measured_mean(std::vector<double>(30, 0.8));
  EXPECT_EQ(agreeing.mean, 0.8);
  EXPECT_DOUBLE_EQ(agreeing.tolerance(), 0.1);  // 3/n
  const MeasuredMean spread = measured_mean(std::vector<double>{0.0, 1.0, 1.0, 0.0});
  EXPECT_DOUBLE_EQ(spread.tolerance(), 2.0 * std::sqrt(1.0 / 3.0 / 4.0));
  EXPECT_DOUBLE_EQ(measured_mean(std::vector<double>{0.5, 0.5001, 0.5}).tolerance(), 0.01);

  std::vector<CoverageCell> cells(4);
  for (std::size_t h = 0; h < 4; ++h) {
    cells[h].head = h;
    cells[h].set_size = 2;
    cells[h].measured = measured_mean(std::vector<double>(300, 0.1 * double(h)));  // e = 0.01
    cells[h].lower = 0.105;
    cells[h].centre = 0.15;
    cells[h].upper = 0.25;
  }
  cells.push_back(cells[0]);
  cells.back().upper = std::nan("");  // left out
  const CoverageSummary s = summarize_coverage(cells);
  EXPECT_EQ(s.cells, 4u);
  EXPECT_DOUBLE_EQ(s.coverage.mean, 0.5);          // 0.1 by its tolerance, 0.2
  EXPECT_DOUBLE_EQ(s.strict_coverage.mean, 0.25);  // 0.2
  EXPECT_NEAR(s.width.mean, 0.145, 1e-12);
  EXPECT_NEAR(s.centre_error.mean, 0.1, 1e-12);
  EXPECT_NEAR(s.baseline_error.mean, 0.1, 1e-12);
  EXPECT_EQ(summarize_coverage({}).cells, 0u);
}

TEST(AttentionProfile, FollowsItsPhasesAndDrawsWeightsAboutThem) {
  AttentionProfile profile;
  profile.length = 100;
  profile.sink_log_weight = -1.0;
  profile.plateau_log_weight = -6.0;
  profile.oscillation_start = 20;
  profile.amplitude = 0.5;
  profile.period = 10.0;
  profile.recency_start = 80;
  profile.recency_log_weight = -3.0;
  profile.recency_length = 4.0;
  EXPECT_EQ(profile.log_weight(19), -6.0);
  EXPECT_NEAR(profile.log_weight(20), -5.5, 1e-12);  // phases begin at their boundaries
  EXPECT_EQ(profile.log_weight(80), -3.0 - 19.0 / 4.0);
  EXPECT_NEAR(profile.log_weight(30), -5.5, 1e-12);
  EXPECT_NEAR(profile.log_weight(35), -6.5, 1e-12);
  EXPECT_EQ(profile.log_weight(99), -3.0);
  EXPECT_EQ(profile.log_weight(91), -5.0);
  Random random(1);
  const std::vector<double> weights = draw_profile_weights(profile, random);
  EXPECT_NEAR(std::log(weights[0] / weights[99]), 2.0, 1e-12);  // no residual
  profile.residual_sd = 1.0;
  const std::vector<double> scattered = draw_profile_weights(profile, random);
  EXPECT_NE(scattered[5], scattered[6]);
}

}  // namespace
}  // namespace toplens
