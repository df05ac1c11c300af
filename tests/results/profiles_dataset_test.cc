#include "results/profiles_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/random.h"

namespace toplens {
namespace {

RC_GTEST_PROP(Bins, CoverEveryPositionOnceInAtMost64, ()) {
  const auto length = *rc::gen::inRange<std::size_t>(1, 3000);
  const Bins bins = position_bins(length);
  RC_ASSERT(bins.size() <= Bins::kMost);
  RC_ASSERT(bins.size() == std::min(length, Bins::kMost));
  RC_ASSERT(bins.edges.front() == 0u);
  RC_ASSERT(bins.edges.back() == length);
  RC_ASSERT(std::is_sorted(bins.edges.begin(), bins.edges.end(), std::less_equal<>()));
  RC_ASSERT(bins.edges[1] == 1u);  // the sink is alone
  for (std::size_t i = 1; i < std::min<std::size_t>(16, length); ++i) {
    RC_ASSERT(bins.edges[bins.size() - i] == length - i);
  }
}

RC_GTEST_PROP(Bins, CoverEveryLagOnceInAtMost64, ()) {
  const auto lags = *rc::gen::inRange<std::size_t>(1, 600);
  const Bins bins = lag_bins(lags);
  RC_ASSERT(bins.size() == std::min(lags, Bins::kMost));
  RC_ASSERT(bins.edges.front() == 1u);
  RC_ASSERT(bins.edges.back() == lags + 1);
  for (std::size_t i = 0; i < std::min<std::size_t>(16, lags); ++i) {
    RC_ASSERT(bins.edges[i] == i + 1);
  }
}

/// Two layers, the second with a window of 60 of the 100 tokens; two heads on one kv head.
class Profiles : public ::testing::Test {
 protected:
  Profiles() {
    shape_.documents = 3;
    shape_.layers = 1;
    shape_.heads = 2;
    shape_.kv_heads = 1;
    shape_.head_dim = 4;
    shape_.layout.length = 100;
    shape_.layout.rankings = {Ranking::attention};
    shape_.layout.set_sizes = {1};
    Random random(5);
    for (std::size_t layer = 0; layer < 2; ++layer) {
      AssumptionRecords records = make_assumption_records(shape_);
      records.first_visible = {layer == 0 ? 0 : 40};
      for (auto* values : {&records.weights, &records.value_norms, &records.lag_cosines}) {
        for (float& value : *values) value = static_cast<float>(random.uniform());
      }
      layers_.push_back(std::move(records));
    }
    HeadFit fit;
    fit.values.similarity.similarity = {0.25, 0.5, 4.0};
    fit.profile.profile.emplace();
    fit.profile.profile->length = 100;
    fit.profile.profile->sink_log_weight = -1.0;
    fit.profile.profile->plateau_log_weight = -6.0;
    fit.profile.profile->oscillation_start = fit.profile.profile->recency_start = 100;
    fits_.assign(2, fit);
    ProfilesBuilder builder(2, {"a.txt@0", std::vector<std::string>(100, "x")});
    for (const AssumptionRecords& records : layers_) builder.add_layer(view_of(records), fits_);
    dataset_ = builder.dataset();
  }

  /// Mean over documents of the mean over [begin, end).
  template <typename Value>
  double mean(std::size_t begin, std::size_t end, const Value& value) const {
    double sum = 0.0;
    for (std::size_t d = 0; d < 3; ++d) {
      for (std::size_t i = begin; i < end; ++i) sum += value(d, i);
    }
    return sum / static_cast<double>(3 * (end - begin));
  }

  RecordedShape shape_;
  std::vector<AssumptionRecords> layers_;
  std::vector<HeadFit> fits_;
  Dataset dataset_;
};

TEST_F(Profiles, AreMeansOverDocumentsAndBins) {
  const auto begin = dataset_.values<std::int64_t>("position_begin");
  const auto end = dataset_.values<std::int64_t>("position_end");
  const auto attention = dataset_.values<float>("attention");
  const auto norms = dataset_.values<float>("value_norm");
  const std::size_t bins = begin.size();
  ASSERT_EQ(attention.size(), 2 * 2 * bins);
  for (std::size_t layer = 0; layer < 2; ++layer) {
    const std::size_t first = layer == 0 ? 0 : 40;
    for (std::size_t bin = 0; bin < bins; ++bin) {
      const auto from = std::max(first, static_cast<std::size_t>(begin[bin]));
      const auto to = static_cast<std::size_t>(end[bin]);
      for (std::size_t head = 0; head < 2; ++head) {
        const float found = attention[(layer * 2 + head) * bins + bin];
        if (from >= to) {
          EXPECT_TRUE(std::isnan(found));
          continue;
        }
        EXPECT_NEAR(found,
                    mean(from, to,
                         [&](std::size_t d, std::size_t i) {
                           return layers_[layer].weights[(d * 2 + head) * 100 + i];
                         }),
                    1e-6);
      }
      if (from >= to) continue;
      EXPECT_NEAR(norms[layer * bins + bin],
                  mean(from, to,
                       [&](std::size_t d, std::size_t i) {
                         return layers_[layer].value_norms[d * 100 + i];
                       }),
                  1e-6);
    }
  }
}

TEST_F(Profiles, FitsStandBesideWhatTheyFit) {
  const auto lag = dataset_.labels<double>("lag");
  const auto similarity = dataset_.values<float>("similarity_fit");
  EXPECT_EQ(lag[0], 1.0);
  EXPECT_NEAR(similarity[0], 0.25 + 0.5 * std::exp(-0.25), 1e-6);
  EXPECT_NEAR(similarity[9], 0.25 + 0.5 * std::exp(-2.5), 1e-6);
  const auto profile = dataset_.values<float>("log_attention_fit");
  EXPECT_FLOAT_EQ(profile[0], -1.0f);
  EXPECT_FLOAT_EQ(profile[1], -6.0f);
}

TEST_F(Profiles, TokensOfTheFirstDocumentAreThoseOfTheRecords) {
  const auto weights = dataset_.values<float>("token_attention");
  ASSERT_EQ(weights.size(), 2u * 2 * 100);
  for (std::size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(weights[100 + i], layers_[0].weights[100 + i]) << i;
    EXPECT_EQ(weights[200 + i], i < 40 ? 0.0f : layers_[1].weights[i]) << i;
  }
  EXPECT_EQ(dataset_.values<std::string>("token_text").size(), 100u);
}

TEST(ShortProfiles, NothingIsNanWithoutAReason) {
  ProfilesBuilder builder(1, {"a", {"x", "y"}});
  RecordedShape shape;
  shape.documents = shape.layers = shape.heads = shape.kv_heads = 1;
  shape.head_dim = 2;
  shape.layout.length = 2;
  const AssumptionRecords records = make_assumption_records(shape);
  HeadFit fit;
  fit.values.similarity.reason = FitReason::too_few_documents;
  builder.add_layer(view_of(records), std::vector<HeadFit>{fit});
  const Dataset dataset = builder.dataset();
  for (const LabelledArray& variable : dataset.variables()) {
    const auto* values = std::get_if<std::vector<float>>(&variable.values);
    if (values == nullptr) continue;
    const bool any_nan =
        std::any_of(values->begin(), values->end(), [](float v) { return std::isnan(v); });
    if (any_nan) {
      EXPECT_TRUE(variable.attributes.contains("reason")) << variable.name;
    }
  }
}

}  // namespace
}  // namespace toplens
