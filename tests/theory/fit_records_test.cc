#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/random.h"
#include "kernels/normal_draws.h"
#include "theory/assumption_observer.h"
#include "theory/recorded_head.h"
#include "theory/value_similarity.h"

namespace toplens {
namespace {

using testing::HeadSample;

/// Two query heads on one kv head, one document, random values with a copy and a zero among them.
class RecordsOfARandomHead : public ::testing::TestWithParam<int> {
 protected:
  static constexpr std::size_t kLength = 40, kDim = 6;
  static constexpr std::size_t kCopied = 31, kCopy = 37, kZero = 33;

  void SetUp() override {
    Random random(5, {});
    values_.resize(kLength * kDim);
    normal_draws(random, values_);
    std::copy_n(values_.begin() + kCopied * kDim, kDim, values_.begin() + kCopy * kDim);
    std::fill_n(values_.begin() + kZero * kDim, kDim, 0.0f);
    std::vector<float> logits(2 * kLength);
    normal_draws(random, logits);
    attention_.assign(2 * kLength, 0.0f);
    first_ = GetParam() > 0 ? kLength - static_cast<std::size_t>(GetParam()) : 0;
    for (std::size_t h = 0; h < 2; ++h) {
      double sum = 0.0;
      for (std::size_t i = first_; i < kLength; ++i) sum += std::exp(2.0 * logits[h * kLength + i]);
      for (std::size_t i = first_; i < kLength; ++i) {
        attention_[h * kLength + i] =
            static_cast<float>(std::exp(2.0 * logits[h * kLength + i]) / sum);
      }
    }
    ObservedPass pass;
    pass.num_layers = pass.num_kv_heads = pass.num_workers = 1;
    pass.num_query_heads = 2;
    pass.head_dim = kDim;
    pass.lane_lengths = {kLength};
    AssumptionOptions options;
    options.set_sizes = {4, 1, 12, 64};
    AssumptionObserver observer(options, {7});
    observer.begin(pass);
    for (int h = 0; h < 2; ++h) {
      HeadView view;
      view.head.query_head = h;
      view.length = kLength;
      view.window = GetParam();
      view.first_query = kLength - 1;
      view.attention = {attention_.data() + static_cast<std::size_t>(h) * kLength, 1, kLength};
      view.values = {values_.data(), kLength, kDim};
      observer.observe(view, 0);
    }
    records_ = observer.records();
  }

  double weight(std::size_t head, std::size_t token) const {
    return double{attention_[head * kLength + first_ + token]};
  }
  double component(std::size_t token, std::size_t c) const {
    return double{values_[(first_ + token) * kDim + c]};
  }
  double product(std::size_t i, std::size_t j) const {
    double sum = 0.0;
    for (std::size_t c = 0; c < kDim; ++c) sum += component(i, c) * component(j, c);
    return sum;
  }
  double norm(std::size_t i) const { return std::sqrt(product(i, i)); }
  double cosine(std::size_t i, std::size_t j) const { return product(i, j) / (norm(i) * norm(j)); }

  std::vector<float> values_, attention_;
  std::size_t first_ = 0;
  AssumptionRecords records_;
};

TEST_P(RecordsOfARandomHead, ValuesAreDescribedByAllPairs) {
  const AssumptionView view = view_of(records_);
  const std::size_t visible = kLength - first_;
  ASSERT_EQ(view.visible(0), visible);
  ASSERT_EQ(view.sink_visible(0), first_ == 0);
  const std::span<const float> norms = view.norms_of(0, 0, 0);
  for (std::size_t i = 0; i < visible; ++i) EXPECT_NEAR(norms[i], norm(i), 1e-5);
  const std::size_t begin = first_ == 0 ? 1 : 0;
  const std::span<const float> lags = view.lag_cosines_of(0, 0, 0);
  ASSERT_EQ(lags.size(), (visible - 1) / 2);
  for (std::size_t k = 1; k <= lags.size(); ++k) {
    double sum = 0.0, pairs = 0.0;
    for (std::size_t i = begin; i + k < visible; ++i) {
      if (norm(i) == 0.0 || norm(i + k) == 0.0) continue;
      sum += cosine(i, i + k);
      pairs += 1.0;
    }
    EXPECT_NEAR(lags[k - 1], sum / pairs, 1e-5) << k;
  }
  if (first_ > 0) {
    EXPECT_TRUE(std::isnan(view.sink_cosines[0]));
    return;
  }
  double sum = 0.0;
  for (std::size_t j = 1; j < visible; ++j) sum += norm(j) > 0.0 ? cosine(0, j) : 0.0;
  EXPECT_NEAR(view.sink_cosines[0], sum / static_cast<double>(visible - 2), 1e-5);
}

TEST_P(RecordsOfARandomHead, CosinesAreThoseOfTheAggregate) {
  const AssumptionView view = view_of(records_);
  const std::size_t visible = kLength - first_;
  ASSERT_EQ(view.shape.layout.set_sizes, (std::vector<int>{1, 4, 12}));
  const std::size_t defined = view.defined_sizes(0);
  ASSERT_EQ(defined, visible > 12 ? 3u : 2u);
  TokenRanker ranker;
  for (std::size_t head = 0; head < 2; ++head) {
    const std::span<const float> weights = view.weights_of(0, 0, head);
    std::vector<double> contributions;
    recorded_contributions(weights, view.norms_of(0, 0, 0), contributions);
    for (std::size_t r = 0; r < 3; ++r) {
      const std::span<const std::uint32_t> order =
          recorded_order(ranker, view.shape.layout, view.shape.layout.rankings[r], 7, 0, head,
                         first_, weights, contributions);
      for (std::size_t n = 0; n < defined; ++n) {
        SCOPED_TRACE(::testing::Message() << "head " << head << " ranking " << r << " size " << n);
        const SizeRecord record = view.size_of(0, 0, head, r, n);
        const auto selected = order.first(record.set_size);
        std::array<double, kDim> s{}, rest{};
        for (const std::uint32_t k : selected) {
          for (std::size_t c = 0; c < kDim; ++c) {
            s[c] += weight(head, k) * component(k, c);
            if (k > 0) rest[c] += weight(head, k) * component(k, c);
          }
        }
        const auto length_of = [](const std::array<double, kDim>& x) {
          return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
        };
        const auto expect_cosine = [&](double found, std::size_t rank) {
          double sum = 0.0;
          for (std::size_t c = 0; c < kDim; ++c) sum += s[c] * component(order[rank], c);
          if (norm(order[rank]) == 0.0 || length_of(s) == 0.0) {
            EXPECT_TRUE(std::isnan(found));
          } else {
            EXPECT_NEAR(found, sum / (norm(order[rank]) * length_of(s)), 2e-6);
          }
        };
        EXPECT_NEAR(record.aggregate_norm, length_of(s), 1e-12);
        for (std::size_t k = 0; k < record.set_size; ++k) expect_cosine(record.selected[k], k);
        EXPECT_EQ(record.competitors.size(), std::min<std::size_t>(16, visible - record.set_size));
        for (std::size_t k = 0; k < record.competitors.size(); ++k) {
          expect_cosine(record.competitors[k], record.set_size + k);
        }
        for (std::size_t k = 0; k < record.others.size(); ++k) {
          const std::size_t rank =
              AssumptionLayout::sampled_rank(record.set_size, visible, record.others.size(), k);
          ASSERT_GE(rank, record.set_size);
          ASSERT_LT(rank, visible);
          expect_cosine(record.others[k], rank);
        }
        if (first_ == 0 && length_of(rest) > 0.0) {
          double sum = 0.0;
          for (std::size_t c = 0; c < kDim; ++c) sum += rest[c] * component(0, c);
          EXPECT_NEAR(record.sink_cosine, sum / (norm(0) * length_of(rest)), 2e-6);
          EXPECT_NEAR(record.sink_aggregate_norm, length_of(rest), 1e-12);
        } else {
          EXPECT_TRUE(std::isnan(record.sink_cosine));
        }
        const auto in_selection = [&](std::size_t token) {
          return std::find(selected.begin(), selected.end(), token - first_) != selected.end();
        };
        const double share = in_selection(kCopy) != in_selection(kCopied)
                                 ? 1.0 / static_cast<double>(visible - record.set_size)
                                 : 0.0;
        EXPECT_FLOAT_EQ(static_cast<float>(record.near_duplicates), static_cast<float>(share));
      }
    }
  }
}

// theory.md (10): pairs (i, i + k) of tokens that are not the sink. Without a zero among the values
// their number is not counted but computed.
TEST(ValueSimilarity, MeansByLagAreOverThePairsWithoutTheSink) {
  const std::vector<float> values = {0, -1,  //
                                     1, 0,   // angles whose cosines are 3/5, 4/5, 24/25 and 0
                                     3, 4,  0, 2, 4, 3};
  const MatrixView<const float> view(values.data(), 5, 2);
  ValueSimilarity similarity;
  similarity.set_values(view, true);
  ASSERT_EQ(similarity.lag_cosines().size(), 2u);
  EXPECT_NEAR(similarity.lag_cosines()[0], (0.6 + 0.8 + 0.6) / 3.0, 1e-6);
  EXPECT_NEAR(similarity.lag_cosines()[1], (0.0 + 0.96) / 2.0, 1e-6);
  EXPECT_NEAR(similarity.sink_cosine(), (0.0 - 0.8 - 1.0 - 0.6) / 4.0, 1e-6);
  similarity.set_values(view, false);
  EXPECT_NEAR(similarity.lag_cosines()[0], (0.0 + 0.6 + 0.8 + 0.6) / 4.0, 1e-6);
  EXPECT_NEAR(similarity.lag_cosines()[1], (-0.8 + 0.0 + 0.96) / 3.0, 1e-6);
  EXPECT_TRUE(std::isnan(similarity.sink_cosine()));
}

INSTANTIATE_TEST_SUITE_P(Windows, RecordsOfARandomHead, ::testing::Values(0, 23, 10));

}  // namespace
}  // namespace toplens
