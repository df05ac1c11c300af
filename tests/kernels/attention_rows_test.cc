#include "kernels/attention_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"
#include "support/simd_targets.h"

namespace toplens {
namespace {

using testing::for_each_target;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kGuard = 77.0f;

std::vector<float> reals(std::size_t count, double scale, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(count);
  for (float& x : numbers) x = static_cast<float>(scale * (2 * random.uniform() - 1));
  return numbers;
}

std::vector<float> integers(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(count);
  for (float& x : numbers) x = static_cast<float>(random.below(17)) - 8.0f;
  return numbers;
}

PackedColumns pack_keys(MatrixView<const float> keys) {
  PackedColumns packed;
  packed.reset(keys.columns(), keys.rows());
  for (std::size_t t = 0; t < keys.rows(); ++t) packed.set_column(t, keys.row(t));
  return packed;
}

PackedColumns pack_values(MatrixView<const float> values) {
  PackedColumns packed;
  packed.reset(values.rows(), values.columns());
  for (std::size_t t = 0; t < values.rows(); ++t) packed.set_row(t, values.row(t));
  return packed;
}

/// One head of a lane, computed in blocks of `block` queries from `first` on.
struct Head {
  std::size_t length, head_dim, window = 0;
  std::vector<float> queries, keys, values;
  ScoreScale scale;
  AlignedVector<float> rows, outputs;

  static Head random(std::size_t length, std::size_t head_dim, std::size_t window, double size) {
    Head head{length,
              head_dim,
              window,
              reals(length * head_dim, size, length + head_dim),
              reals(length * head_dim, size, length + head_dim + 1),
              reals(length * head_dim, 1, length + head_dim + 2),
              {},
              {},
              {}};
    head.scale.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(head_dim)));
    return head;
  }

  std::size_t padded_rows() const { return padded_attention_rows(length) + kAttentionRows; }
  MatrixView<float> row_view() {
    return {rows.data(), padded_rows(), length, attention_row_stride(length)};
  }
  MatrixView<float> output_view() {
    return {outputs.data(), padded_rows(), head_dim, head_output_stride(head_dim)};
  }
  MatrixView<const float> matrix(const std::vector<float>& data) const {
    return {data.data(), length, head_dim};
  }

  /// Returns how many rows were finished.
  std::size_t run(std::size_t block_size, std::size_t first = 0) {
    rows.assign(padded_rows() * attention_row_stride(length), kGuard);
    outputs.assign(padded_rows() * head_output_stride(head_dim), kGuard);
    std::vector<float> padded = queries;
    padded.resize(padded_rows() * head_dim, 1.0f);
    const MatrixView<const float> all_queries(padded.data(), padded_rows(), head_dim);
    const PackedColumns packed_keys = pack_keys(matrix(keys));
    const PackedColumns packed_values = pack_values(matrix(values));
    for (; first < length; first += block_size) {
      const QueryRows block{first, std::min(block_size, length - first), window};
      const std::size_t padded_count = padded_attention_rows(block.count);
      const MatrixView<float> block_rows = row_view().row_range(first, padded_count);
      const std::size_t done = attention_rows(block, all_queries.row_range(first, padded_count),
                                              packed_keys, scale, block_rows);
      if (done < block.count) return first + done;
      weighted_value_sums(block, block_rows, packed_values,
                          output_view().row_range(first, padded_count));
    }
    return length;
  }

  std::size_t begin(std::size_t t) const {
    return window > 0 && t + 1 > window ? t + 1 - window : 0;
  }

  double score(std::size_t t, std::size_t k) const {
    double dot = 0;
    for (std::size_t c = 0; c < head_dim; ++c) {
      dot += double{queries[t * head_dim + c]} * keys[k * head_dim + c];
    }
    const double scaled = dot * scale.scale;
    return scale.softcap > 0 ? scale.softcap * std::tanh(scaled / scale.softcap) : scaled;
  }

  void expect_reference(double weight_error, double output_error) {
    for (std::size_t t = 0; t < length; ++t) {
      std::vector<double> weights(length, 0.0);
      double max = -1e300, sum = 0;
      for (std::size_t k = begin(t); k <= t; ++k) max = std::max(max, weights[k] = score(t, k));
      for (std::size_t k = begin(t); k <= t; ++k) sum += weights[k] = std::exp(weights[k] - max);
      for (std::size_t k = 0; k < length; ++k) {
        weights[k] /= sum;
        if (k < begin(t) || k > t) {
          ASSERT_EQ(row_view()(t, k), 0.0f) << t << ' ' << k;
        } else {
          ASSERT_NEAR(row_view()(t, k), weights[k], weight_error * weights[k] + 1e-37)
              << t << ' ' << k;
        }
      }
      for (std::size_t c = 0; c < head_dim; ++c) {
        double expected = 0;
        for (std::size_t k = 0; k <= t; ++k) expected += weights[k] * values[k * head_dim + c];
        ASSERT_NEAR(output_view()(t, c), expected, output_error) << t << ' ' << c;
      }
    }
  }
};

TEST(AttentionRows, EqualsFloat64ForEveryTailAndHeadSize) {
  for_each_target([] {
    for (const std::size_t head_dim : {2u, 6u, 16u, 18u, 34u, 48u, 80u, 128u}) {
      for (const std::size_t length : {1u, 2u, 11u, 12u, 13u, 31u, 32u, 33u, 47u, 65u}) {
        SCOPED_TRACE(std::to_string(length) + " tokens of " + std::to_string(head_dim));
        Head head = Head::random(length, head_dim, 0, 2);
        ASSERT_EQ(head.run(24), length);
        head.expect_reference(4e-6, 4e-6);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  });
}

TEST(AttentionRows, EqualsFloat64OverSeveralSumsOfTokensWithWindowsAndSoftcap) {
  for_each_target([] {
    for (const std::size_t window : {0u, 1u, 2u, 17u, 32u, 100u, 255u, 257u, 530u, 2000u}) {
      for (const float softcap : {0.0f, 3.0f}) {
        SCOPED_TRACE("window " + std::to_string(window));
        Head head = Head::random(531, 10, window, 3);
        head.scale.softcap = softcap;
        ASSERT_EQ(head.run(24), head.length);
        head.expect_reference(6e-6, 6e-6);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  });
}

TEST(AttentionRows, ABlockOfAnyCutGivesTheSameBits) {
  for_each_target([] {
    for (const std::size_t window : {0u, 70u, 300u}) {
      Head head = Head::random(601, 20, window, 3);
      ASSERT_EQ(head.run(24), head.length);
      Head other = head;
      for (const std::size_t block : {1u, 5u, 12u, 36u, 601u}) {
        ASSERT_EQ(other.run(block), head.length);
        for (std::size_t t = 0; t < head.length; ++t) {
          for (std::size_t k = 0; k < head.length; ++k) {
            ASSERT_EQ(head.row_view()(t, k), other.row_view()(t, k)) << block;
          }
          for (std::size_t c = 0; c < head.head_dim; ++c) {
            ASSERT_EQ(head.output_view()(t, c), other.output_view()(t, c)) << block << ' ' << t;
          }
        }
      }
    }
  });
}

TEST(AttentionRows, WritesNothingBeforeItsRows) {
  Head head = Head::random(50, 16, 0, 1);
  ASSERT_EQ(head.run(24, 24), head.length);
  for (std::size_t t = 0; t < 24; ++t) {
    for (const float x : head.row_view().row(t)) ASSERT_EQ(x, kGuard);
    for (const float x : head.output_view().row(t)) ASSERT_EQ(x, kGuard);
  }
}

TEST(AttentionRows, IntegerScoresAreExact) {
  // The token that a query is compared with has weight 1 exactly where its score is the greatest by
  // more than 87, and equal integer scores give equal weights 1/n, which float32 division rounds.
  for_each_target([] {
    Head head = Head::random(97, 64, 0, 1);
    head.queries = integers(head.queries.size(), 5);
    head.keys = integers(head.keys.size(), 6);
    head.scale.scale = 128.0f;
    ASSERT_EQ(head.run(24), head.length);
    for (std::size_t t = 0; t < head.length; ++t) {
      double max = -1e300;
      std::size_t tied = 0;
      for (std::size_t k = 0; k <= t; ++k) {
        const double score = head.score(t, k);
        tied = score > max ? 1 : tied + (score == max ? 1 : 0);
        max = std::max(max, score);
      }
      const float share = 1.0f / static_cast<float>(tied);
      for (std::size_t k = 0; k <= t; ++k) {
        ASSERT_EQ(head.row_view()(t, k), head.score(t, k) == max ? share : 0.0f) << t << ' ' << k;
      }
    }
  });
}

TEST(AttentionRows, SumsOfZeroOneWeightsOverIntegerValuesAreExact) {
  for_each_target([] {
    const std::size_t length = 700;
    for (const std::size_t head_dim : {2u, 15u, 16u, 40u}) {
      const std::vector<float> values = integers(length * head_dim, head_dim);
      const PackedColumns packed =
          pack_values(MatrixView<const float>(values.data(), length, head_dim));
      for (const std::size_t window : {0u, 33u, 300u}) {
        const QueryRows block{length - 23, 23, window};
        AlignedVector<float> rows(24 * attention_row_stride(length));
        AlignedVector<float> out(24 * head_output_stride(head_dim), kGuard);
        const MatrixView<float> view(rows.data(), 24, length, attention_row_stride(length));
        const MatrixView<float> sums(out.data(), 24, head_dim, head_output_stride(head_dim));
        Random random(window);
        for (std::size_t r = 0; r < block.count; ++r) {
          for (std::size_t k = block.visible_begin(r); k < block.visible_end(r); ++k) {
            view(r, k) = static_cast<float>(random.below(2));
          }
        }
        weighted_value_sums(block, view, packed, sums);
        for (std::size_t r = 0; r < block.count; ++r) {
          for (std::size_t c = 0; c < head_dim; ++c) {
            double expected = 0;
            for (std::size_t k = 0; k < length; ++k) {
              expected += double{view(r, k)} * values[k * head_dim + c];
            }
            ASSERT_EQ(sums(r, c), expected) << window << ' ' << r << ' ' << c;
          }
        }
      }
    }
  });
}

TEST(AttentionRows, ExtremeScoresKeepTheirDistances) {
  for_each_target([] {
    for (const float size : {1e15f, -1e15f, 1e-20f, 0.0f}) {
      // Scores of size^2 or -size^2 for one token, 0 for the others.
      Head head = Head::random(40, 2, 0, 1);
      std::fill(head.queries.begin(), head.queries.end(), 0.0f);
      std::fill(head.keys.begin(), head.keys.end(), 0.0f);
      for (std::size_t t = 0; t < head.length; ++t) head.queries[t * 2] = std::fabs(size);
      head.keys[7 * 2] = size;
      head.scale.scale = 1.0f;
      ASSERT_EQ(head.run(24), head.length);
      head.expect_reference(1e-6, 1e-6);
      if (::testing::Test::HasFatalFailure()) return;
    }
  });
}

TEST(AttentionRows, ReportsTheFirstRowThatSeesAScoreThatIsNotFinite) {
  for_each_target([] {
    for (const float bad :
         {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(), 3e38f}) {
      for (const std::size_t place : {0u, 5u, 30u, 38u}) {
        for (const float softcap : {0.0f, 30.0f}) {
          Head head = Head::random(40, 6, 0, 1);
          std::fill(head.queries.begin(), head.queries.end(), 2.0f);
          head.scale = {1.0f, softcap};
          head.keys[place * 6 + 1] = bad;  // 3e38 overflows in the product
          EXPECT_EQ(head.run(24), place) << bad << ' ' << softcap;
          // Beyond its window a query does not see it.
          head.window = 3;
          EXPECT_EQ(head.run(24, place + 3), head.length) << bad;
        }
      }
    }
  });
}

TEST(Exponentials, HaveTheStatedErrorOnEveryTarget) {
  for_each_target([] {
    std::vector<float> x = {0.0f,
                            -0.0f,
                            -1e-30f,
                            -87.0f,
                            std::nextafter(-87.0f, -100.0f),
                            -1e30f,
                            std::numeric_limits<float>::lowest(),
                            -kInfinity};
    for (int i = 0; i < 200001; ++i) x.push_back(static_cast<float>(-87.0 * i / 200000));
    std::vector<float> e = x;
    exponentials(e);
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (x[i] < -87.0f) {
        ASSERT_EQ(e[i], 0.0f) << x[i];
        continue;
      }
      const double exact = std::exp(double{x[i]});
      worst = std::max(worst, std::fabs(e[i] - exact) / exact);
    }
    EXPECT_LT(worst, 2e-7);
    EXPECT_EQ(e[0], 1.0f);
  });
}

}  // namespace
}  // namespace toplens
