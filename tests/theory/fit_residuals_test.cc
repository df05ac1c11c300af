#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "theory/head_fit.h"
#include "theory/recorded_head.h"

namespace toplens {
namespace {

std::vector<HeadFit> fit_all_heads(const AssumptionView& records) {
  ThreadPool pool(1);
  return fit_heads(records, 2027, pool);
}

using testing::HeadSample;

GenerativeParameters small_head() {
  GenerativeParameters parameters;
  parameters.length = 96;
  parameters.dimension = 32;
  return parameters;
}

/// theory.md (11) term by term, from the values themselves.
struct Direct {
  double beta = 0.0, sigma = 0.0, sink_sigma = 0.0;
};

Direct direct_residuals(const std::vector<HeadSample>& documents, std::size_t dim, std::size_t n,
                        const SimilarityDecay& phi, double rho_0) {
  std::vector<double> residuals, sinks_in, sinks_out;
  for (const HeadSample& document : documents) {
    const std::size_t length = document.attention.size();
    std::vector<std::uint32_t> order(length);
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return document.attention[a] > document.attention[b];
    });
    const auto value = [&](std::size_t i, std::size_t c) {
      return double{document.values[i * dim + c]};
    };
    const auto norm = [&](std::size_t i) {
      double sum = 0.0;
      for (std::size_t c = 0; c < dim; ++c) sum += value(i, c) * value(i, c);
      return std::sqrt(sum);
    };
    const auto similarity = [&](std::size_t i, std::size_t j) {
      return i == 0 || j == 0 ? rho_0
                              : phi(std::abs(static_cast<double>(i) - static_cast<double>(j)));
    };
    const auto residual = [&](std::size_t j) {
      std::vector<double> s(dim, 0.0);
      double m = 0.0;
      for (std::size_t k = 0; k < n; ++k) {
        const std::size_t i = order[k];
        if (i == j) continue;  // the sink in S: against s - y_0
        for (std::size_t c = 0; c < dim; ++c) s[c] += document.attention[i] * value(i, c);
        m += document.attention[i] * norm(i) * similarity(i, j);
      }
      double product = 0.0, square = 0.0;
      for (std::size_t c = 0; c < dim; ++c) {
        product += s[c] * value(j, c);
        square += s[c] * s[c];
      }
      return (product / norm(j) - m) / std::sqrt(square);
    };
    for (std::size_t k = n; k < std::min(length, n + std::max<std::size_t>(16, n)); ++k) {
      if (order[k] != 0) residuals.push_back(residual(order[k]));
    }
    const bool selected = std::find(order.begin(), order.begin() + static_cast<long>(n), 0u) !=
                          order.begin() + static_cast<long>(n);
    if (!selected || n > 1) (selected ? sinks_in : sinks_out).push_back(residual(0));
  }
  Direct result;
  for (const double r : residuals) result.beta += r / static_cast<double>(residuals.size());
  double squares = 0.0;
  for (const double r : residuals) squares += (r - result.beta) * (r - result.beta);
  result.sigma =
      std::sqrt(static_cast<double>(dim) * squares / static_cast<double>(residuals.size()));
  squares = 0.0;
  for (const double r : sinks_in) squares += r * r;
  for (const double r : sinks_out) squares += (r - result.beta) * (r - result.beta);
  result.sink_sigma = std::sqrt(static_cast<double>(dim) * squares /
                                static_cast<double>(sinks_in.size() + sinks_out.size()));
  return result;
}

TEST(ResidualFit11, IsTheDefinitionOverTheValues) {
  for (const double sink_mass : {0.01, 0.03, 0.5}) {  // in T, in both, in S
    GenerativeParameters parameters = small_head();
    parameters.sink_mass = sink_mass;
    const auto documents = testing::draw_documents(GenerativeHead(parameters, {}, 7, 1), 12);
    AssumptionOptions options;
    options.set_sizes = {1, 4, 20, 60};
    const AssumptionRecords records = testing::record(documents, 32, options);
    const SimilarityDecay phi{0.1, 0.3, 15.0};
    const auto fits = fit_residuals(view_of(records), 0, 0, phi, FitReason::estimated, 0.07);
    ASSERT_EQ(fits.size(), 3u);
    ASSERT_EQ(fits[0].ranking, Ranking::attention);
    for (std::size_t n = 0; n < 4; ++n) {
      const ResidualEstimate& found = fits[0].sizes[n];
      const Direct expected = direct_residuals(
          documents, 32, static_cast<std::size_t>(options.set_sizes[n]), phi, 0.07);
      EXPECT_EQ(found.reason, FitReason::estimated);
      EXPECT_NEAR(found.competitors.beta, expected.beta, 2e-6);
      EXPECT_NEAR(found.competitors.sigma, expected.sigma, 2e-5);
      if (found.sink_reason == FitReason::estimated) {
        EXPECT_NEAR(found.competitors.sink_sigma, expected.sink_sigma, 2e-5);
      } else {
        // The sink alone selected: nothing else to compare it with.
        EXPECT_EQ(options.set_sizes[n], 1);
        EXPECT_EQ(sink_mass, 0.5);
      }
    }
  }
}

TEST(ResidualFit11, IndependentIsotropicValuesGiveSigmaOne) {
  GenerativeParameters parameters = small_head();
  parameters.length = 512;
  parameters.dimension = 64;
  parameters.similarity = parameters.decay_amplitude = parameters.sink_similarity = 0.0;
  const auto documents = testing::draw_documents(GenerativeHead(parameters, {}, 7, 1), 32);
  const HeadFit fit = fit_all_heads(view_of(testing::record(documents, 64))).front();
  EXPECT_EQ(fit.values.similarity.decay_reason, FitReason::no_decay);
  for (const RankingResidualFit& ranking : fit.residuals) {
    for (const ResidualEstimate& size : ranking.sizes) {
      EXPECT_NEAR(size.competitors.sigma, 1.0, 0.15) << size.competitors.set_size;
      EXPECT_NEAR(size.all_unselected.sigma, 1.0, 0.15);
      EXPECT_NEAR(size.competitors.beta, 0.0, 0.03);
      EXPECT_EQ(size.near_duplicates, 0.0);
    }
  }
}

TEST(HeadFit, NearDuplicatesMakeTheSimilarityInapplicable) {
  GenerativeParameters parameters = small_head();
  auto documents = testing::draw_documents(GenerativeHead(parameters, {}, 7, 1), 8);
  for (HeadSample& document : documents) {  // tokens repeat with period 24
    for (std::size_t i = 24; i < 96; ++i) {
      std::copy_n(document.values.begin() + static_cast<long>((i - 24) * 32), 32,
                  document.values.begin() + static_cast<long>(i * 32));
    }
  }
  const HeadFit fit = fit_all_heads(view_of(testing::record(documents, 32))).front();
  EXPECT_FALSE(fit.similarity_applicable());
  EXPECT_GT(fit.near_duplicates(), 0.5);
}

TEST(HeadFit, GivesTheAssumptionsOfTheHead) {
  GenerativeParameters parameters = small_head();
  parameters.length = 256;
  parameters.dimension = 64;
  const auto documents = testing::draw_documents(GenerativeHead(parameters, {}, 7, 2), 24);
  const HeadFit fit = fit_all_heads(view_of(testing::record(documents, 64))).front();
  const auto given = fit.assumptions();
  ASSERT_TRUE(given);
  EXPECT_EQ(given->dimension, 64.0);
  EXPECT_NEAR(given->mean_norm, 1.0, 0.02);
  EXPECT_NEAR(given->norm_spread, parameters.norm_spread, 0.02);
  EXPECT_NEAR(given->sink_norm_ratio, parameters.sink_norm_ratio, 0.01);
  EXPECT_TRUE(given->similarity.present());
  ASSERT_TRUE(given->profile);
  EXPECT_EQ(given->profile->length, 256);
  const auto effective = fit.assumptions(EffectiveDimension::effective_rank);
  ASSERT_TRUE(effective);
  EXPECT_LT(effective->dimension, 64.0);
  const Residuals& at_8 = given->find(Ranking::contribution)->sizes[3];
  const Residuals& scaled = effective->find(Ranking::contribution)->sizes[3];
  ASSERT_EQ(at_8.set_size, 8);
  EXPECT_NEAR(scaled.sigma / std::sqrt(effective->dimension), at_8.sigma / 8.0, 1e-12);
}

}  // namespace
}  // namespace toplens
