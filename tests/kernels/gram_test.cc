#include "kernels/gram.h"

#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"
#include "kernels/separation.h"
#include "support/simd_targets.h"

namespace toplens {
namespace {

using testing::for_each_target;

std::vector<float> integers(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(count);
  for (float& x : numbers) x = static_cast<float>(random.below(41)) - 20.0f;
  return numbers;
}

std::vector<float> reals(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(count);
  for (float& x : numbers) x = static_cast<float>(random.uniform() - 0.5);
  return numbers;
}

double plain_dot(const std::vector<float>& data, std::size_t dim, std::size_t i, std::size_t j) {
  double sum = 0.0;
  for (std::size_t c = 0; c < dim; ++c) sum += double{data[i * dim + c]} * data[j * dim + c];
  return sum;
}

TEST(Gram, EqualsThePlainLoopBitForBitOnEveryTarget) {
  // A product of two floats is exact in float64, so a fused chain and a plain one round alike.
  for (const std::size_t tokens : {1u, 31u, 32u, 33u, 101u}) {
    for (const std::size_t dim : {1u, 7u, 64u}) {
      const std::vector<float> data = reals(tokens * dim, tokens + dim);
      for_each_target([&] {
        VectorPanels panels;
        panels.assign(MatrixView<const float>(data.data(), tokens, dim));
        GramMatrix gram;
        gram.assign(panels, 0);
        std::vector<double> norms(panels.panels() * kPanelColumns);
        squared_norms(panels, norms);
        for (std::size_t j = 0; j < tokens; ++j) {
          ASSERT_EQ(norms[j], gram.view()(j, j));
          for (std::size_t k = 0; k < tokens; ++k) {
            ASSERT_EQ(gram.view()(j, k), plain_dot(data, dim, j, k)) << j << ' ' << k;
          }
        }
      });
    }
  }
}

TEST(Gram, WindowLeavesOutOnlyWhatNoQuerySeesTogether) {
  const std::size_t tokens = 150, dim = 5;
  const std::vector<float> data = reals(tokens * dim, 3);
  VectorPanels panels;
  panels.assign(MatrixView<const float>(data.data(), tokens, dim));
  for (const std::size_t window : {1u, 2u, 33u, 34u, 64u, 149u, 1000u}) {
    GramMatrix gram;
    gram.assign(panels, window);
    for (std::size_t j = 0; j < tokens; ++j) {
      for (std::size_t k = 0; k < tokens; ++k) {
        if ((j > k ? j - k : k - j) >= window) continue;
        ASSERT_EQ(gram.view()(j, k), plain_dot(data, dim, j, k)) << window << ' ' << j << ' ' << k;
      }
    }
  }
}

TEST(Gram, PanelProductsOfEveryHeightAreExactOnIntegers) {
  const std::size_t dim = 37;
  const std::vector<float> data = integers(64 * dim, 11);
  VectorPanels panels;
  panels.assign(MatrixView<const float>(data.data(), 64, dim));
  for_each_target([&] {
    for (std::size_t rows = 1; rows <= kPanelColumns; ++rows) {
      std::vector<double> out((rows + 1) * kPanelColumns, -1.5);
      panel_products(panels.panel(0), rows, panels.panel(1), dim, out.data(), kPanelColumns);
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t j = 0; j < kPanelColumns; ++j) {
          ASSERT_EQ(out[r * kPanelColumns + j], plain_dot(data, dim, r, 32 + j));
        }
      }
      for (std::size_t j = 0; j < kPanelColumns; ++j) {
        ASSERT_EQ(out[rows * kPanelColumns + j], -1.5) << "wrote beyond row " << rows;
      }
    }
  });
}

TEST(Gram, AccumulateRowsIsExactOnIntegersFromAnyFirstToken) {
  const std::size_t tokens = 131, dim = 4;
  const std::vector<float> data = integers(tokens * dim, 5);
  VectorPanels panels;
  panels.assign(MatrixView<const float>(data.data(), tokens, dim));
  GramMatrix gram;
  gram.assign(panels, 0);
  for_each_target([&] {
    for (const std::size_t first : {0u, 1u, 77u}) {
      const std::size_t visible = tokens - first;
      std::vector<double> weights(padded_to_lanes(visible), 0.0);
      std::vector<std::uint32_t> order;
      for (std::size_t i = 0; i < visible; ++i) {
        weights[i] = static_cast<double>(i % 7);
        if (i % 3 == 0) order.push_back(static_cast<std::uint32_t>(visible - 1 - i));
      }
      std::vector<double> sums(padded_to_lanes(visible), 2.0);
      accumulate_rows(gram.view(), first, order, weights.data(), sums.size(), sums.data());
      for (std::size_t j = 0; j < visible; ++j) {
        double expected = 2.0;
        for (const std::uint32_t k : order) {
          expected += weights[k] * plain_dot(data, dim, first + k, first + j);
        }
        ASSERT_EQ(sums[j], expected);
      }
    }
  });
}

TEST(Separation, CountsEqualThePlainLoopOnEveryTarget) {
  Random random(17);
  for (int round = 0; round < 200; ++round) {
    const std::size_t tokens = 2 + random.below(120);
    const std::size_t set_size = 1 + random.below(tokens - 1);
    std::vector<double> scores(tokens);
    // Few different scores: ties everywhere; every third round without them.
    for (double& x : scores) {
      x = round % 3 == 0 ? random.uniform() - 0.5 : static_cast<double>(random.below(9)) - 4.0;
    }
    std::vector<std::uint32_t> order(tokens);
    for (std::size_t i = 0; i < tokens; ++i) order[i] = static_cast<std::uint32_t>(i);
    for (std::size_t i = 0; i < set_size; ++i) {
      std::swap(order[i], order[i + random.below(tokens - i)]);
    }
    const std::span<const std::uint32_t> selected = std::span(order).first(set_size);
    const std::span<const std::uint32_t> others = std::span(order).subspan(set_size);
    SeparationCounts expected;
    expected.min_selected = scores[selected[0]];
    expected.max_unselected = scores[others[0]];
    for (const auto i : selected) {
      expected.min_selected = std::min(expected.min_selected, scores[i]);
    }
    for (const auto j : others) {
      expected.max_unselected = std::max(expected.max_unselected, scores[j]);
      expected.contaminating += scores[j] >= expected.min_selected ? 1 : 0;
      for (const auto i : selected) expected.inversions += scores[j] >= scores[i] ? 1 : 0;
    }
    for (const auto i : selected) expected.clear += scores[i] > expected.max_unselected ? 1 : 0;
    for_each_target([&] {
      AlignedVector<double> used(padded_to_lanes(tokens), 1e300);
      std::copy(scores.begin(), scores.end(), used.begin());
      const SeparationCounts counts =
          SeparationCounter().count(used.data(), tokens, selected, true);
      ASSERT_EQ(counts.min_selected, expected.min_selected);
      ASSERT_EQ(counts.max_unselected, expected.max_unselected);
      ASSERT_EQ(counts.contaminating, expected.contaminating);
      ASSERT_EQ(counts.clear, expected.clear);
      ASSERT_EQ(counts.inversions, expected.inversions);
    });
  }
}

TEST(Separation, SortedInversionsOfLargeSetsEqualThePlainLoop) {
  const std::size_t tokens = 5000, set_size = 2500;  // more pairs than are compared one by one
  Random random(23);
  AlignedVector<double> scores(padded_to_lanes(tokens));
  for (double& x : scores) x = static_cast<double>(random.below(3000));
  std::vector<std::uint32_t> selected(set_size);
  for (std::size_t i = 0; i < set_size; ++i) selected[i] = static_cast<std::uint32_t>(2 * i);
  std::uint64_t expected = 0;
  for (std::size_t i = 0; i < tokens; i += 2) {
    for (std::size_t j = 1; j < tokens; j += 2) expected += scores[j] >= scores[i] ? 1 : 0;
  }
  EXPECT_EQ(SeparationCounter().count(scores.data(), tokens, selected, true).inversions, expected);
}

TEST(Separation, ScoresAreExactOnIntegers) {
  const std::size_t tokens = 53;
  AlignedVector<double> sums(56), weights(56), norms(56), scores(56);
  for (std::size_t i = 0; i < 56; ++i) {
    sums[i] = static_cast<double>(i * 3) - 70.0;
    weights[i] = static_cast<double>(i % 5);
    norms[i] = static_cast<double>(i % 11);
  }
  for_each_target([&] {
    euclidean_scores(sums.data(), weights.data(), norms.data(), tokens, scores.data());
    for (std::size_t i = 0; i < tokens; ++i) {
      ASSERT_EQ(scores[i], 2.0 * weights[i] * sums[i] - weights[i] * weights[i] * norms[i]);
    }
    cosine_scores(sums.data(), norms.data(), tokens, scores.data());
    for (std::size_t i = 0; i < tokens; ++i) ASSERT_EQ(scores[i], sums[i] * norms[i]);
    std::size_t below = 0;
    for (std::size_t i = 0; i < tokens; ++i) below += norms[i] * 2.0 < 9.0 ? 1 : 0;
    ASSERT_EQ(count_products_below(norms.data(), 2.0, 9.0, tokens), below);
  });
}

}  // namespace
}  // namespace toplens
