#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netcdf.h>

#include <algorithm>
#include <fstream>
#include <limits>

#include <fmt/format.h>

#include "io/atomic_file.h"
#include "results/budget_file.h"
#include "results/digest.h"
#include "results/intervention_files.h"
#include "results/measures_part.h"
#include "results/netcdf_file.h"
#include "results/run_directory.h"
#include "results/temporary_directory.h"

namespace toplens {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::TemporaryDirectory;
using Json = nlohmann::ordered_json;

class HostileRun : public ::testing::Test {
 protected:
  std::filesystem::path path(const std::string& name) const { return directory_.path() / name; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
  }
  /// A file with a dimension that no array has, and the checksum of a sound one.
  void write_dimension(const std::string& name, std::size_t length) const {
    int file = 0, unused = 0;
    ASSERT_EQ(nc_create(path(name).c_str(), NC_NETCDF4, &file), NC_NOERR);
    ASSERT_EQ(nc_def_dim(file, "layer", length, &unused), NC_NOERR);
    ASSERT_EQ(nc_close(file), NC_NOERR);
    const std::string bytes = read_text_file(path(name));
    write(name, bytes + fmt::format("\ntoplens-sha256 {}\n", sha256(bytes)));
  }
  TemporaryDirectory directory_;
};

TEST_F(HostileRun, DimensionsWithoutArraysMayNotHaveAnySize) {
  write_dimension("huge.nc", std::size_t{1} << 50);
  EXPECT_THAT(error_of([&] { read_netcdf(path("huge.nc")); }), HasSubstr("dimension 'layer'"));
  write_dimension("empty.nc", NC_UNLIMITED);
  EXPECT_THAT(error_of([&] { read_netcdf(path("empty.nc")); }), HasSubstr("has the size 0"));
}

TEST_F(HostileRun, SettingsOfOtherTypesAreRefused) {
  const auto documents = [](const Json& value) {
    return error_of([&] { recorded_documents({{"settings", {{"documents", value}}}}); });
  };
  for (const Json& value : {Json(0), Json(-1), Json(1e300), Json("8"), Json(nullptr),
                            Json(std::uint64_t{1} << 63), Json(Json::array())}) {
    EXPECT_THAT(documents(value), HasSubstr("settings.documents")) << value;
  }
  const auto seed = [](const Json& value) {
    return error_of([&] { recorded_seed({{"settings", {{"protocol", {{"seed", value}}}}}}); });
  };
  EXPECT_THAT(seed("7"), HasSubstr("no seed"));
  EXPECT_THAT(seed(-1), HasSubstr("no seed"));
  EXPECT_EQ(recorded_seed({{"settings", {{"protocol", {{"seed", 7}}}}}}), 7u);
  EXPECT_EQ(recorded_seed({{"settings", {{"protocol", 3}}}}), 2027u);
}

TEST_F(HostileRun, EvaluationsThatLackValuesAreRefused) {
  const Json settings = {{"seed", 1}};
  write("interventions.json", Json{{"settings", settings}}.dump());
  Dataset dataset;
  dataset.add_dimension("evaluation", 3);
  dataset.add_dimension("document", 2);
  for (const char* name : {"ranking", "rule", "scope"}) {
    dataset.add_variable(name, {"document"}, std::vector<std::string>(2, "attention"));
  }
  for (const char* name : {"set_size", "context_length"}) {
    dataset.add_variable(name, {"evaluation"}, std::vector<std::int32_t>(3, 8));
  }
  dataset.add_variable("rows_without_mass", {"evaluation"}, std::vector<std::int64_t>(3, 0));
  dataset.add_variable("nll_nats_per_token", {"document"}, std::vector<double>(2, 1.0));
  write_netcdf(path("interventions.nc"), dataset);
  EXPECT_THAT(error_of([&] { read_evaluations(directory_.path(), settings, 8); }),
              HasSubstr("'ranking' has the dimensions document, expected evaluation"));
}

TEST_F(HostileRun, SignaturesWithoutNumbersAreRefused) {
  MeasuredShape shape;
  shape.documents = shape.layers = shape.heads = 1;
  shape.settings = measure_settings(std::vector<int>{8}, "last");
  const auto error_with = [&](float measures) {
    MeasureRecords records = make_measure_records(shape);
    std::fill(records.measures.begin(), records.measures.end(), measures);
    Dataset part;
    for (const char* dimension : {"document", "layer", "head"}) part.add_dimension(dimension, 1);
    add_measure_records(part, records);
    return error_of([&] { measure_records(part); });
  };
  EXPECT_EQ(error_with(1.0f), "no error");
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 0.0f}) {
    EXPECT_THAT(error_with(value), HasSubstr("says that there is a signature")) << value;
  }
}

TEST_F(HostileRun, BudgetsOfNoWholeNumbersAreRefused) {
  ModelConfig config;
  config.num_layers = 1;
  config.num_query_heads = 1;
  config.num_kv_heads = 1;
  const auto error_with = [&](const Json& context_length, const Json& kept, const Json& model) {
    write("budget.json", Json{{"schema_version", 1},
                              {"ranking", "attention"},
                              {"rule", "delete"},
                              {"tolerance", 0.05},
                              {"context_length", context_length},
                              {"settings", {{"model", model}}},
                              {"budgets",
                               {{{"allocation", "uniform"},
                                 {"query_heads", Json::array({Json::array({kept})})},
                                 {"predicted_change", 0},
                                 {"verified_change", 0}}}}}
                             .dump());
    return error_of([&] { read_budgets(path("budget.json"), config, Json::object()); });
  };
  EXPECT_EQ(error_with(8, 2, Json::object()), "no error");
  EXPECT_THAT(error_with(1e300, 2, Json::object()), HasSubstr("'context_length'"));
  EXPECT_THAT(error_with(8, -1e300, Json::object()), HasSubstr("'query_heads'"));
  EXPECT_THAT(error_with(8, std::int64_t{1} << 40, Json::object()), HasSubstr("'query_heads'"));
  EXPECT_THAT(error_with(8, 2, "x"), HasSubstr("'settings.model'"));
}

}  // namespace
}  // namespace toplens
