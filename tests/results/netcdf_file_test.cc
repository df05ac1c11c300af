#include "results/netcdf_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>

#include "base/random.h"
#include "io/atomic_file.h"
#include "results/example_geometry.h"
#include "results/temporary_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

using testing::error_of;
using testing::example_geometry;
using ::testing::HasSubstr;
using testing::TemporaryDirectory;

class NetcdfFile : public ::testing::Test {
 protected:
  std::filesystem::path file(const std::string& name) { return directory_.path() / name; }
  void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  TemporaryDirectory directory_;
};

TEST_F(NetcdfFile, RoundTripKeepsEveryTypeLabelAndAttribute) {
  Dataset dataset;
  dataset.add_coordinate("document", std::vector<std::string>{"größe.txt", "", "a,b"},
                         {{"long_name", "window"}});
  dataset.add_coordinate("frequency", std::vector<double>{0.1, 1.0 / 3.0});
  dataset.add_coordinate("set_size", std::vector<std::int32_t>{1, 256});
  dataset.add_variable("nll", {"document"}, std::vector<double>{0.1, -0.0, 1e-300},
                       describe("nats/token", "mean negative log likelihood"));
  dataset.add_variable("counts", {"document", "set_size"},
                       std::vector<std::int64_t>{1, -2, 3, std::int64_t{1} << 60, 5, 6});
  dataset.add_variable("reason", {"set_size", "frequency"},
                       std::vector<std::string>{"", "too few documents", "x", "y\nz"});
  dataset.add_variable("scalar", {}, std::vector<float>{2.5f});
  // Large enough to be compressed.
  std::vector<float> large(3 * 20000);
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<float>(i % 977) / 7.0f;
  large[5] = std::numeric_limits<float>::infinity();
  dataset.add_dimension("token", 20000);
  dataset.add_variable("norm", {"document", "token"}, large, {{"threshold", 0.25}});
  dataset.attributes() = {{"seed", std::int64_t{-3}}, {"level", 0.95}, {"empty", std::string()}};

  write_netcdf(file("all.nc"), dataset);
  const Dataset read = read_netcdf(file("all.nc"));
  for (const Dimension& dimension : dataset.dimensions())
    EXPECT_EQ(read.dimension_size(dimension.name), dimension.size);
  EXPECT_EQ(read.attributes(), dataset.attributes());
  const auto same = [](std::vector<LabelledArray> a, std::vector<LabelledArray> b) {
    for (auto* arrays : {&a, &b})
      std::sort(arrays->begin(), arrays->end(),
                [](const auto& x, const auto& y) { return x.name < y.name; });
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].name, b[i].name);
      EXPECT_EQ(a[i].dimensions, b[i].dimensions) << a[i].name;
      EXPECT_TRUE(a[i].values == b[i].values) << a[i].name;
      EXPECT_EQ(a[i].attributes, b[i].attributes) << a[i].name;
    }
  };
  same(read.coordinates(), dataset.coordinates());
  same(read.variables(), dataset.variables());
  EXPECT_LT(std::filesystem::file_size(file("all.nc")), large.size() * sizeof(float) / 2);
}

TEST_F(NetcdfFile, ReadsOnlyTheVariablesAskedFor) {
  write_netcdf(file("g.nc"), example_geometry(2, 1, 1, {2}));
  const Dataset read = read_netcdf(file("g.nc"), {"margin", "recall"});
  ASSERT_EQ(read.variables().size(), 2u);
  EXPECT_TRUE(read.has_variable("recall") && read.has_variable("margin"));
  EXPECT_EQ(read.labels<std::string>("ranking").size(), 2u);
  EXPECT_EQ(error_of([&] { read_netcdf(file("g.nc"), {"entropy"}); }),
            file("g.nc").string() + ": has no variable 'entropy'");
}

TEST_F(NetcdfFile, OpensInXarrayWithLabels) {
  Dataset dataset =
      example_geometry(2, 2, 3, {2, 4, 8}, {"attention", "random"}, {"euclidean", "cosine"});
  dataset.attributes()["tool"] = std::string("toplens");
  write_netcdf(file("geometry.nc"), dataset);
  const std::string command =
      "/usr/bin/python3 '" +
      (testing::source_directory() / "tests/results/open_with_xarray.py").string() + "' '" +
      file("geometry.nc").string() + "'";
  const int status = std::system(command.c_str());
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127)
    GTEST_SKIP() << "SKIPPED, python3-xarray or python3-netcdf4 is not installed";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(NetcdfFile, EmptyDimensionIsRefused) {
  Dataset dataset;
  dataset.add_dimension("document", 0);
  EXPECT_THAT(error_of([&] { write_netcdf(file("empty.nc"), dataset); }),
              HasSubstr("dimension 'document' is empty"));
  EXPECT_FALSE(std::filesystem::exists(file("empty.nc")));
}

TEST_F(NetcdfFile, AbsentAndForeignFilesAreNamed) {
  EXPECT_EQ(error_of([&] { read_netcdf(file("absent.nc")); }),
            file("absent.nc").string() + ": cannot open: No such file or directory");
  write_bytes(file("text.nc"), "layer,head\n0,0\n");
  EXPECT_EQ(error_of([&] { read_netcdf(file("text.nc")); }),
            file("text.nc").string() + ": is no netCDF-4 file");
}

TEST_F(NetcdfFile, EveryTruncationIsAnError) {
  write_netcdf(file("whole.nc"), example_geometry(2, 2, 2, {2, 4}));
  const std::string bytes = read_text_file(file("whole.nc"));
  for (std::size_t length = 0; length < bytes.size(); length += 97) {
    write_bytes(file("cut.nc"), bytes.substr(0, length));
    EXPECT_THAT(error_of([&] { read_netcdf(file("cut.nc")); }),
                HasSubstr(length < 8 ? "is no netCDF-4 file" : "is truncated or damaged"))
        << length << " of " << bytes.size() << " bytes";
  }
}

TEST_F(NetcdfFile, EveryFlippedByteIsAnError) {
  write_netcdf(file("whole.nc"), example_geometry(2, 2, 2, {2, 4}));
  const std::string bytes = read_text_file(file("whole.nc"));
  Random random(2027);
  for (int trial = 0; trial < 300; ++trial) {
    std::string damaged = bytes;
    const std::size_t at = random.below(bytes.size());
    damaged[at] = static_cast<char>(damaged[at] ^ static_cast<char>(1 + random.below(255)));
    write_bytes(file("damaged.nc"), damaged);
    EXPECT_NE(error_of([&] { read_netcdf(file("damaged.nc")); }), "no error") << "byte " << at;
  }
}

}  // namespace
}  // namespace toplens
