#include "theory/generative_model.h"

#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/error_message.h"

namespace toplens {
namespace {

using ::testing::HasSubstr;

double dot(std::span<const float> x, std::span<const float> y) {
  double sum = 0.0;
  for (std::size_t c = 0; c < x.size(); ++c) sum += double{x[c]} * y[c];
  return sum;
}

/// Moments over documents: mean norm, its relative spread, kappa, cosines by lag and of the sink.
struct Moments {
  double norm = 0.0, spread = 0.0, kappa = 0.0, sink_cosine = 0.0;
  std::vector<double> cosine = std::vector<double>(41, 0.0);

  Moments(const GenerativeHead& head, int documents) {
    const auto length = static_cast<std::size_t>(head.parameters().length);
    const auto d = static_cast<std::size_t>(head.parameters().dimension);
    double squares = 0.0, count = 0.0;
    std::vector<double> pairs(cosine.size(), 0.0);
    for (int document = 0; document < documents; ++document) {
      const DrawnDocument drawn = head.draw(static_cast<std::uint64_t>(document));
      const auto value = [&](std::size_t i) { return std::span(drawn.values).subspan(i * d, d); };
      std::vector<double> norms(length);
      for (std::size_t i = 0; i < length; ++i) norms[i] = std::sqrt(dot(value(i), value(i)));
      kappa += norms[0] / documents;
      for (std::size_t i = 1; i < length; ++i) {
        norm += norms[i];
        squares += norms[i] * norms[i];
        sink_cosine += dot(value(0), value(i)) / norms[0] / norms[i];
        count += 1.0;
        for (const std::size_t lag : {1u, 5u, 10u, 40u}) {
          if (i + lag >= length) continue;
          cosine[lag] += dot(value(i), value(i + lag)) / norms[i] / norms[i + lag];
          pairs[lag] += 1.0;
        }
      }
    }
    norm /= count;
    sink_cosine /= count;
    spread = std::sqrt(squares / count - norm * norm) / norm;
    kappa /= norm;
    for (const std::size_t lag : {1u, 5u, 10u, 40u}) cosine[lag] /= pairs[lag];
  }
};

GenerativeParameters parameters() {
  GenerativeParameters p;
  p.length = 512;
  p.dimension = 128;
  p.similarity = 0.2;
  p.decay_amplitude = 0.5;
  p.decay_length = 8.0;
  p.sink_similarity = -0.3;
  p.sink_norm_ratio = 0.25;
  p.norm_spread = 0.2;
  return p;
}

TEST(GenerativeModel, HasTheStatedMoments) {
  const GenerativeParameters p = parameters();
  const Moments m(GenerativeHead(p, {}, 5, 0), 40);
  EXPECT_NEAR(m.norm, 1.0, 0.01);
  EXPECT_NEAR(m.spread, 0.2, 0.01);
  EXPECT_NEAR(m.kappa, 0.25, 0.01);
  EXPECT_NEAR(m.sink_cosine, -0.3, 0.01);
  for (const int lag : {1, 5, 10, 40}) {
    EXPECT_NEAR(m.cosine[static_cast<std::size_t>(lag)], 0.2 + 0.5 * std::exp(-lag / 8.0), 0.02)
        << lag;
  }
}

TEST(GenerativeModel, WeightsSumToOneAndKeepTheirParts) {
  GenerativeParameters p = parameters();
  p.recency_share = 0.75;
  p.recency_length = 2.0;
  const GenerativeHead head(p, {}, 5, 0);
  Random random(1);
  const std::vector<double> weights = head.draw_weights(random);
  EXPECT_NEAR(std::accumulate(weights.begin(), weights.end(), 0.0), 1.0, 1e-12);
  EXPECT_DOUBLE_EQ(weights[0], p.sink_mass);
  EXPECT_NEAR(std::accumulate(weights.end() - 20, weights.end(), 0.0), 0.75 * 0.6, 0.05);
}

TEST(GenerativeModel, TheSameNumberGivesTheSameDocument) {
  const GenerativeHead head(parameters(), {}, 5, 3);
  EXPECT_EQ(head.draw(2).values, head.draw(2).values);
  EXPECT_NE(head.draw(2).values, head.draw(1).values);
  EXPECT_NE(head.draw(2).attention, GenerativeHead(parameters(), {}, 5, 4).draw(2).attention);
}

TEST(GenerativeModel, ViolationsChangeWhatTheySay) {
  const GenerativeParameters p = parameters();
  const auto fitted = [&](Violation violation, double amount) {
    return parameters_as_fitted(p, {violation, amount});
  };
  const auto moments = [&](Violation violation, double amount) {
    return Moments(GenerativeHead(p, {violation, amount}, 5, 0), 20);
  };
  const Moments heavy = moments(Violation::heavy_tailed_norms, 0.2);
  EXPECT_NEAR(heavy.norm, 1.0, 0.02);
  EXPECT_NEAR(heavy.spread, fitted(Violation::heavy_tailed_norms, 0.2).norm_spread, 0.05);
  EXPECT_NEAR(moments(Violation::uncompressed_sink, 1.5).kappa, 1.5, 0.03);
  EXPECT_NEAR(moments(Violation::no_decay, 1.0).cosine[1], 0.2, 0.02);
  EXPECT_NEAR(moments(Violation::slow_decay, 10.0).cosine[40], 0.2 + 0.5 * std::exp(-0.5), 0.03);

  Random random(1);
  std::vector<double> weights =
      GenerativeHead(p, {Violation::second_sink, 0.5}, 5, 0).draw_weights(random);
  EXPECT_NEAR(weights[256] / weights[0], 0.5, 1e-12);
  EXPECT_NEAR(std::accumulate(weights.begin(), weights.end(), 0.0), 1.0, 1e-12);
  weights = GenerativeHead(p, {Violation::induction_spikes, 0.8}, 5, 0).draw_weights(random);
  EXPECT_NEAR(std::accumulate(weights.begin(), weights.end(), 0.0), 1.0, 1e-12);
  std::partial_sort(weights.begin() + 1, weights.begin() + 5, weights.end(), std::greater<>());
  EXPECT_GT(std::accumulate(weights.begin() + 1, weights.begin() + 5, 0.0), 0.8 * 0.6);
}

TEST(GenerativeParameters, ErrorsNameWhatIsWrong) {
  GenerativeParameters p = parameters();
  p.similarity = 0.6;
  EXPECT_THAT(testing::error_message([&] { check(p); }), HasSubstr("add up to 1.1"));
  p = parameters();
  p.sink_norm_ratio = -0.5;
  EXPECT_THAT(testing::error_message([&] { check(p); }), HasSubstr("sink-norm-ratio is -0.5"));
  p = parameters();
  p.sink_similarity = 0.9;
  EXPECT_THAT(testing::error_message([&] { check(p); }), HasSubstr("sink-similarity 0.9"));
  p = parameters();
  p.jitter = std::nan("");
  EXPECT_THAT(testing::error_message([&] { check(p); }), HasSubstr("jitter is nan"));
  EXPECT_THAT(testing::error_message([&] {
                check(ViolationAmount{Violation::heavy_tailed_norms, 0.5});
              }),
              HasSubstr("heavy-tailed-norms"));
}

TEST(GenerativeParameters, PopulationsKeepTheConditionsAndWhatIsFixed) {
  GenerativeParameters kept;
  kept.similarity = 0.01;
  kept.decay_amplitude = 0.99;
  const std::vector<std::string_view> fixed = {"similarity", "decay-amplitude"};
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    const GenerativeParameters drawn = draw_parameters(kept, fixed, random);
    EXPECT_NO_THROW(check(drawn));
    EXPECT_EQ(drawn.similarity, 0.01);
    EXPECT_EQ(drawn.decay_amplitude, 0.99);
    Random again(seed);
    EXPECT_NO_THROW(check(draw_parameters(GenerativeParameters(), {}, again)));
  }
}

}  // namespace
}  // namespace toplens
