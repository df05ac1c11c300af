#include "results/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "results/example_geometry.h"
#include "results/temporary_directory.h"

namespace toplens {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using testing::example_geometry;
using ::testing::HasSubstr;

Dataset part(std::vector<std::string> documents, std::vector<float> values, double shared) {
  Dataset dataset;
  dataset.add_coordinate("document", std::move(documents));
  dataset.add_dimension("token", values.size() / dataset.dimension_size("document"));
  dataset.add_variable("weight", {"document", "token"}, std::move(values));
  dataset.add_variable("shared", {}, std::vector<double>{shared});
  dataset.attributes()["seed"] = std::int64_t{7};
  return dataset;
}

TEST(Dataset, ConcatenatesAlongDocuments) {
  const std::vector<Dataset> parts = {part({"a", "b"}, {1, 2, 3, 4}, 0.5),
                                      part({"c"}, {5, 6}, 0.5)};
  const Dataset whole = concatenate_documents(parts, std::vector<std::string>{"p0", "p1"});
  EXPECT_EQ(whole.dimension_size("document"), 3u);
  EXPECT_THAT(whole.labels<std::string>("document"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(whole.values<float>("weight"), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(whole.values<double>("shared"), ElementsAre(0.5));
  EXPECT_EQ(std::get<std::int64_t>(whole.attributes().at("seed")), 7);
}

TEST(Dataset, ConcatenationNamesWhatDiffers) {
  const std::vector<std::string> names = {"part-0000.nc", "part-0001.nc"};
  const auto message = [&](const Dataset& second) {
    const std::vector<Dataset> parts = {part({"a"}, {1, 2}, 0.5), second};
    return error_of([&] { concatenate_documents(parts, names); });
  };
  EXPECT_EQ(message(part({"b"}, {1, 2, 3}, 0.5)),
            "part-0001.nc does not fit part-0000.nc: dimension 'token' differs");
  EXPECT_EQ(message(part({"b"}, {1, 2}, 0.25)),
            "part-0001.nc does not fit part-0000.nc: variable 'shared' differs");
  Dataset seed = part({"b"}, {1, 2}, 0.5);
  seed.attributes()["seed"] = std::int64_t{8};
  EXPECT_THAT(message(seed), HasSubstr("an attribute of the file differs"));
  EXPECT_THAT(message(example_geometry(1, 1, 1, {2})), HasSubstr("dimensions differs"));
}

TEST(Dataset, LookupsNameWhatThereIs) {
  const Dataset dataset = part({"a"}, {1, 2}, 0.5);
  EXPECT_EQ(error_of([&] { dataset.variable("margin"); }),
            "no variable 'margin' in the results (there are: weight, shared)");
  EXPECT_EQ(error_of([&] { dataset.values<double>("weight"); }),
            "variable 'weight' is float32, expected float64");
  EXPECT_THAT(error_of([&] { dataset.dimension_size("layer"); }), HasSubstr("document, token"));
}

TEST(GeometryView, RefusesOtherForms) {
  EXPECT_THAT(error_of([] {
                GeometryView view(part({"a"}, {1, 2}, 0.5));
              }),
              HasSubstr("no dimension 'layer'"));
}

TEST(GeometryView, MeansAreOverDefinedDocuments) {
  Dataset dataset = example_geometry(3, 1, 2, {2, 4});
  const GeometryView view(dataset);
  dataset.mutable_values<float>("recall")[view.index(0, 0, 1, 0, 0, 0)] = NAN;
  const std::vector<double> means = mean_over_documents(view, 1, 0, 0, 0);
  const auto recall = dataset.values<float>("recall");
  EXPECT_EQ(means[1],
            (recall[view.index(1, 0, 1, 0, 0, 0)] + recall[view.index(2, 0, 1, 0, 0, 0)]) / 2);
  EXPECT_TRUE(std::isnan(mean_over_documents(view, 1, 0, 0, 1)[0]));
}

}  // namespace
}  // namespace toplens
