#include "kernels/softmax.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"
#include "support/simd_targets.h"

namespace toplens {
namespace {

using testing::for_each_target;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> reals(std::size_t count, double scale, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(count);
  for (float& x : numbers) x = static_cast<float>(scale * (2 * random.uniform() - 1));
  return numbers;
}

std::vector<double> reference(const std::vector<float>& scores, double scale, double softcap) {
  std::vector<double> weights;
  for (const float score : scores) {
    const double scaled = score * scale;
    weights.push_back(softcap > 0 ? softcap * std::tanh(scaled / softcap) : scaled);
  }
  const double max = *std::max_element(weights.begin(), weights.end());
  double sum = 0;
  for (double& w : weights) sum += w = std::exp(w - max);
  for (double& w : weights) w /= sum;
  return weights;
}

std::vector<std::size_t> sizes() {
  std::vector<std::size_t> sizes;
  for (std::size_t n = 1; n <= 70; ++n) sizes.push_back(n);
  sizes.insert(sizes.end(), {1023, 5000, 100003});
  return sizes;
}

TEST(Softmax, EqualsFloat64WithScaleAndSoftcap) {
  for_each_target([] {
    for (const std::size_t n : sizes()) {
      for (const float softcap : {0.0f, 5.0f, 50.0f}) {
        const std::vector<float> scores = reals(n, 60, n);
        const std::vector<double> expected = reference(scores, 0.25f, softcap);
        std::vector<float> row = scores;
        row.push_back(77.0f);
        ASSERT_TRUE(softmax_row(std::span(row).first(n), 0.25f, softcap));
        double sum = 0;
        for (std::size_t i = 0; i < n; ++i) {
          ASSERT_NEAR(row[i], expected[i], 1e-5 * expected[i] + 1e-30) << n << ' ' << i;
          sum += row[i];
        }
        ASSERT_NEAR(sum, 1.0, 2e-6) << n;
        ASSERT_EQ(row[n], 77.0f);
      }
    }
  });
}

TEST(Softmax, AnElementDoesNotDependOnWhereTheRowEnds) {
  for_each_target([] {
    std::vector<float> one_token = {3.0f};
    ASSERT_TRUE(softmax_row(one_token, 1.0f, 0.0f));
    EXPECT_EQ(one_token[0], 1.0f);
    for (std::size_t n = 2; n <= 40; ++n) {
      // All mass on one token, wherever it is; far tokens get exactly 0.
      for (std::size_t place = 0; place < n; ++place) {
        std::vector<float> row(n, -300.0f);
        row[place] = 20.0f;
        ASSERT_TRUE(softmax_row(row, 1.0f, 0.0f));
        for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(row[i], i == place ? 1.0f : 0.0f);
      }
    }
  });
}

TEST(Softmax, ExtremeFiniteScoresAreWeights) {
  for_each_target([] {
    for (const float size : {1e37f, -1e37f, 3e38f, -3e38f}) {
      for (const std::size_t n : {1u, 3u, 4u, 16u, 19u}) {
        std::vector<float> row(n, size);
        ASSERT_TRUE(softmax_row(row, 1.0f, 0.0f));
        for (const float weight : row) ASSERT_NEAR(weight, 1.0 / static_cast<double>(n), 1e-6);
      }
    }
  });
}

TEST(Softmax, NonFiniteScoresAreReportedAtEveryPlace) {
  for_each_target([] {
    for (const float softcap : {0.0f, 5.0f}) {
      for (std::size_t n = 1; n <= 40; ++n) {
        for (std::size_t place = 0; place < n; ++place) {
          for (const float bad : {std::nanf(""), kInfinity, -kInfinity, 3e38f}) {
            std::vector<float> row(n, 1.0f);
            row[place] = bad;
            // 3e38 * 2 overflows.
            ASSERT_FALSE(softmax_row(row, 2.0f, softcap)) << n << ' ' << place << ' ' << bad;
          }
        }
      }
    }
  });
}

TEST(Softmax, EmptyRowIsFine) {
  std::vector<float> row;
  EXPECT_TRUE(softmax_row(row, 1.0f, 0.0f));
}

TEST(Softcap, EqualsFloat64) {
  for_each_target([] {
    for (const std::size_t n : sizes()) {
      const std::vector<float> values = reals(n, 40, n);
      std::vector<float> capped = values;
      capped.push_back(77.0f);
      apply_softcap(std::span(capped).first(n), 8.0f);
      for (std::size_t i = 0; i < n; ++i) {
        ASSERT_NEAR(capped[i], 8 * std::tanh(values[i] / 8.0), 4e-6);
      }
      ASSERT_EQ(capped[n], 77.0f);
    }
  });
}

TEST(LogSumExp, SlicesCombineToFloat64) {
  for_each_target([] {
    for (const std::size_t n : sizes()) {
      const std::vector<float> logits = reals(n, 30, n);
      const double max = *std::max_element(logits.begin(), logits.end());
      double sum = 0;
      for (const float x : logits) sum += std::exp(x - max);
      const PartialLogSumExp whole = partial_log_sum_exp(logits);
      ASSERT_EQ(whole.max, max);
      ASSERT_NEAR(whole.sum, sum, 3e-6 * sum);
      for (std::size_t cut = 0; cut <= std::min<std::size_t>(n, 20); ++cut) {
        const PartialLogSumExp a = partial_log_sum_exp(std::span(logits).first(cut));
        const PartialLogSumExp b = partial_log_sum_exp(std::span(logits).subspan(cut));
        const double combined = (cut == 0 ? 0 : a.sum * std::exp(a.max - max)) +
                                (cut == n ? 0 : b.sum * std::exp(b.max - max));
        ASSERT_NEAR(combined, sum, 3e-6 * sum) << n << ' ' << cut;
      }
    }
  });
}

TEST(LogSumExp, NanAndInfinityAreNotHidden) {
  for_each_target([] {
    for (std::size_t n = 1; n <= 40; ++n) {
      for (std::size_t place = 0; place < n; ++place) {
        for (const float bad : {std::nanf(""), kInfinity}) {
          std::vector<float> logits(n, 1.0f);
          logits[place] = bad;
          ASSERT_FALSE(std::isfinite(partial_log_sum_exp(logits).max)) << n << ' ' << place;
        }
      }
    }
  });
}

TEST(LogSumExp, ExtremeLogits) {
  for_each_target([] {
    for (const float size : {-1e37f, 1e37f}) {
      for (const std::size_t n : {1u, 5u, 16u, 19u}) {
        const std::vector<float> logits(n, size);
        const PartialLogSumExp result = partial_log_sum_exp(logits);
        ASSERT_EQ(result.max, size);
        ASSERT_NEAR(result.sum, static_cast<double>(n), 1e-6) << size;
      }
    }
  });
}

}  // namespace
}  // namespace toplens
