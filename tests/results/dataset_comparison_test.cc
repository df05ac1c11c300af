#include "results/dataset_comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "results/example_geometry.h"

namespace toplens {
namespace {

using testing::example_geometry;
using ::testing::HasSubstr;

Dataset example() { return example_geometry(2, 2, 3, {2, 4}); }

TEST(DatasetComparison, NaNsAreTheSameAndDocumentNamesAreNot) {
  const Dataset moved =
      example_geometry(2, 2, 3, {2, 4}, {"attention", "random"}, {"euclidean"}, 3);
  const DatasetDifference found = compare_datasets(example(), moved);
  EXPECT_TRUE(found.same()) << found.structure;  // labels shift, values repeat after 3 documents
  EXPECT_GT(found.values, 5u * 2 * 2 * 3 * 2 * 2);
}

TEST(DatasetComparison, SaysWhereTheLargestDifferenceIs) {
  Dataset changed = example();
  auto values = changed.mutable_values<float>("margin");
  values[0] += 0.001f;
  const std::size_t at = GeometryView(changed).index(1, 0, 2, 1, 0, 1);
  values = changed.mutable_values<float>("margin");
  values[at] += 2.0f;
  const DatasetDifference found = compare_datasets(example(), changed);
  EXPECT_EQ(found.structure, "");
  EXPECT_EQ(found.unequal, 2u);
  ASSERT_TRUE(found.largest.has_value());
  EXPECT_EQ(found.largest->variable, "margin");
  EXPECT_EQ(
      found.largest->place,
      "document story.txt@63, layer 0, head 2, ranking random, distance euclidean, set_size 4");
  EXPECT_EQ(found.far_variable, "margin");
  EXPECT_NEAR(found.far_share, 1.0 / 48, 1e-12);
  EXPECT_FALSE(found.same());
}

TEST(DatasetComparison, DefinedAgainstNotDefinedIsInfinitelyFar) {
  Dataset changed = example();
  changed.mutable_values<float>("recall")[0] = std::nanf("");
  const DatasetDifference found = compare_datasets(example(), changed);
  EXPECT_EQ(found.unequal, 1u);
  EXPECT_TRUE(std::isinf(found.largest->distance));
  EXPECT_GT(found.far_share, 0.0);
}

TEST(DatasetComparison, OtherFormsAreDifferencesOfStructure) {
  EXPECT_THAT(compare_datasets(example(), example_geometry(2, 2, 4, {2, 4})).structure,
              HasSubstr("dimension 'head' is 3, expected 4"));
  Dataset more = example();
  more.add_variable("extra", {"layer"}, std::vector<double>(2));
  EXPECT_EQ(compare_datasets(example(), more).structure, "there is no variable 'extra'");
  EXPECT_EQ(compare_datasets(more, example()).structure, "there is a variable 'extra' too many");
  Dataset other = example();
  other.add_variable("extra", {"layer"}, std::vector<float>(2));
  EXPECT_THAT(compare_datasets(more, other).structure, HasSubstr("another type"));
}

}  // namespace
}  // namespace toplens
