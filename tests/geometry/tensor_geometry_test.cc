#include "geometry/tensor_geometry.h"

#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <toplens/error.h>

#include "geometry/reference_geometry.h"
#include "geometry/sample_heads.h"

namespace toplens {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

GeometryOptions small_options() {
  GeometryOptions options;
  options.set_sizes = {2, 5};
  options.rankings = {Ranking::attention};
  options.distances = {Distance::euclidean};
  return options;
}

/// Causal arrays [2, 4, 6, 6] and [2, 2, 6, 3].
struct Arrays {
  std::vector<float> attention = std::vector<float>(2 * 4 * 6 * 6, 0.0f);
  std::vector<float> values = std::vector<float>(2 * 2 * 6 * 3);
  explicit Arrays(std::size_t window = 0) {
    Random random(8);
    for (std::size_t head = 0; head < 8; ++head) {
      for (std::size_t t = 0; t < 6; ++t) {
        const std::size_t first = window > 0 && t + 1 > window ? t + 1 - window : 0;
        const auto row = testing::softmax_row(random, t + 1 - first, 1.0);
        std::copy(row.begin(), row.end(), attention.data() + (head * 6 + t) * 6 + first);
      }
    }
    for (float& x : values) x = static_cast<float>(testing::normal(random));
  }
  GeometryTensors four() const {
    return {{"a.npy", {2, 4, 6, 6}, attention}, {"v.npy", {2, 2, 6, 3}, values}};
  }
  GeometryTensors three() const {
    return {{"a.npy", {4, 6, 6}, std::span(attention).first(4 * 36)},
            {"v.npy", {2, 6, 3}, std::span(values).first(2 * 18)}};
  }
};

std::string error_of(const GeometryTensors& tensors) {
  try {
    measure_tensors(tensors, small_options());
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(TensorGeometry, OneRowIsMeasuredOverItsVisibleTokens) {
  const testing::SampleHead head = testing::sample_head(testing::Sample::plain, 9, 3, 1);
  const TensorGeometry found =
      measure_tensors({{"a", {9}, head.attention}, {"v", {9, 3}, head.values}}, small_options());
  ASSERT_EQ(found.records.size(), 2u);
  EXPECT_TRUE(found.notes.empty());
  for (const GeometryRecord& record : found.records) {
    EXPECT_FALSE(record.layer);
    EXPECT_EQ(record.query_head, 0);
    EXPECT_EQ(record.query, 8);
    const auto order = testing::reference_order(
        testing::reference_scores(head.attention, head.value_view(), Ranking::attention),
        static_cast<std::size_t>(record.set_size));
    EXPECT_EQ(record.separability.f_score,
              testing::reference_geometry(head.attention, head.value_view(), Distance::euclidean,
                                          order, 0.0)
                  .separability.f_score);
  }
}

TEST(TensorGeometry, HeadsMeetTheirKvHeadAndLayersTheirSlice) {
  const Arrays arrays(4);
  GeometryTensors tensors = arrays.four();
  tensors.layers = {1};
  tensors.window = 4;
  tensors.queries = QuerySelection::all();
  GeometryOptions options = small_options();
  options.set_sizes = {2};
  const TensorGeometry found = measure_tensors(tensors, options);
  ASSERT_EQ(found.records.size(), 4u * 4u);  // queries 2 to 5 see more than 2 tokens
  std::size_t i = 0;
  for (std::size_t head = 0; head < 4; ++head) {
    for (std::size_t query = 2; query < 6; ++query) {
      const GeometryRecord& record = found.records[i++];
      EXPECT_EQ(record.layer, 1);
      ASSERT_EQ(record.query_head, static_cast<int>(head));
      ASSERT_EQ(record.query, static_cast<int>(query));
      const std::size_t first = query + 1 > 4 ? query - 3 : 0;
      const std::span<const float> row(
          arrays.attention.data() + ((4 + head) * 6 + query) * 6 + first, query + 1 - first);
      const MatrixView<const float> values(arrays.values.data() + ((2 + head / 2) * 6 + first) * 3,
                                           row.size(), 3);
      const auto order =
          testing::reference_order(testing::reference_scores(row, values, Ranking::attention), 2);
      const auto expected =
          testing::reference_geometry(row, values, Distance::euclidean, order, 0.0).separability;
      EXPECT_EQ(record.separability.precision, expected.precision);
      EXPECT_EQ(record.separability.recall, expected.recall);
      EXPECT_NEAR(record.separability.margin, expected.margin, 1e-7);
    }
  }
  EXPECT_THAT(found.notes,
              ElementsAre("set size 2: not defined at 8 of 24 attention rows, which need more "
                          "visible tokens than that (rows have 1 to 4)"));
}

TEST(TensorGeometry, LastQueryAloneByDefault) {
  const Arrays arrays;
  const TensorGeometry three = measure_tensors(arrays.three(), small_options());
  ASSERT_EQ(three.records.size(), 8u);
  for (const GeometryRecord& record : three.records) EXPECT_EQ(record.query, 5);
  EXPECT_EQ(measure_tensors(arrays.four(), small_options()).records.size(), 16u);
}

TEST(TensorGeometry, ShapesThatDoNotFit) {
  const Arrays arrays;
  GeometryTensors tensors = arrays.three();
  tensors.values.shape = {2, 3, 6};
  EXPECT_EQ(error_of(tensors),
            "v.npy: found shape [2, 3, 6], expected [kv_head, 6, head_dim] beside a.npy [4, 6, 6]");
  tensors = arrays.three();
  tensors.attention.shape = {4, 9, 4};
  EXPECT_THAT(error_of(tensors), HasSubstr("a.npy: found shape [4, 9, 4], expected as many"));
  tensors = arrays.three();
  tensors.attention.shape = {24, 6};
  EXPECT_THAT(error_of(tensors), HasSubstr("found shape [24, 6], expected [token], [head"));
  tensors = arrays.three();
  tensors.attention.shape = {4, 6, 7};
  EXPECT_THAT(error_of(tensors), HasSubstr("expected one of 144 elements"));
  tensors = arrays.three();
  tensors.values = {"v.npy", {3, 6, 2}, tensors.values.elements};
  EXPECT_THAT(error_of(tensors), HasSubstr("divides the 4 heads of a.npy"));
  tensors = arrays.four();
  tensors.values = {"v.npy", {1, 4, 6, 3}, arrays.values};
  EXPECT_THAT(error_of(tensors), HasSubstr("expected [2, kv_head, 6, head_dim]"));
  tensors = arrays.three();
  tensors.values.shape = {0, 6, 3};
  EXPECT_THAT(error_of(tensors), HasSubstr("length 0"));
  const std::vector<float> row(5, 0.2f), values(8, 1.0f);
  EXPECT_THAT(error_of({{"a", {5}, row}, {"v", {4, 2}, values}}), HasSubstr("[5, head_dim]"));
}

TEST(TensorGeometry, ElementsThatCannotBe) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Arrays arrays;
  arrays.attention[(1 * 6 + 4) * 6 + 2] = nan;
  EXPECT_EQ(error_of(arrays.three()),
            "a.npy[1, 4, 2]: found nan, expected a finite attention weight >= 0");
  arrays.attention[(1 * 6 + 4) * 6 + 2] = -0.25f;
  EXPECT_THAT(error_of(arrays.three()), HasSubstr("a.npy[1, 4, 2]: found -0.25"));
  arrays = Arrays();
  arrays.values[(1 * 6 + 3) * 3 + 1] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(error_of(arrays.three()), "v.npy[1, 3, 1]: found inf, expected a finite value");
  arrays = Arrays();
  arrays.attention[(2 * 6 + 3) * 6 + 4] = 1e-30f;  // beyond the query
  EXPECT_EQ(error_of(arrays.three()),
            "a.npy[2, 3, 4]: found 1e-30, expected 0 since query 3 sees tokens 0 to 3");
  const Arrays unwindowed;
  GeometryTensors tensors = unwindowed.three();
  tensors.window = 3;
  EXPECT_THAT(error_of(tensors), HasSubstr("query 3 sees tokens 1 to 3 (window 3)"));
}

TEST(TensorGeometry, RequestsThatDoNotFit) {
  const Arrays arrays;
  GeometryTensors tensors = arrays.four();
  tensors.layers = {0, 2};
  EXPECT_EQ(error_of(tensors), "layers: found 2, but a.npy has layers 0 to 1");
  tensors = arrays.three();
  tensors.layers = {0};
  EXPECT_THAT(error_of(tensors), HasSubstr("has no layer dimension"));
  tensors = arrays.three();
  tensors.window = -1;
  EXPECT_THAT(error_of(tensors), HasSubstr("window: found -1"));
  const testing::SampleHead head = testing::sample_head(testing::Sample::plain, 9, 3, 1);
  tensors = {{"a", {9}, head.attention}, {"v", {9, 3}, head.values}};
  tensors.window = 4;
  EXPECT_THAT(error_of(tensors), HasSubstr("a window needs [head, query, key]"));
}

}  // namespace
}  // namespace toplens
