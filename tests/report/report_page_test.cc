#include "report/report_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <map>
#include <sstream>
#include <string>

#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "report/synthetic_run.h"
#include "results/netcdf_file.h"
#include "results/temporary_directory.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using testing::error_of;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::SyntheticRun;
using testing::TemporaryDirectory;

/// The text of the element that holds the page's data.
std::string data_text(const std::string& page) {
  const std::string begin = "<script type=\"application/json\" id=\"report-data\">";
  const std::size_t at = page.find(begin);
  EXPECT_NE(at, std::string::npos);
  const std::size_t from = at + begin.size();
  return page.substr(from, page.find("</script", from) - from);
}

nlohmann::json figure_of(const nlohmann::json& run, const std::string& id) {
  for (const nlohmann::json& figure : run.at("figures")) {
    if (figure.at("id") == id) return figure;
  }
  ADD_FAILURE() << "no figure " << id;
  return {};
}

class ReportPage : public ::testing::Test {
 protected:
  fs::path path(const std::string& name) const { return scratch_.path() / name; }
  ReportOutcome report(const SyntheticRun& run) const {
    run.write(path("run"));
    return write_report({path("run")}, path("report.html"));
  }
  std::string page() const { return read_text_file(path("report.html")); }
  nlohmann::json data() const { return nlohmann::json::parse(data_text(page())); }

  TemporaryDirectory scratch_;
};

TEST_F(ReportPage, TextOfDocumentsIsDataAndNeverMarkup) {
  SyntheticRun run;
  run.token_texts = {"</script>",      "<img src=x onerror=alert(1)>",
                     "<!--",           "&lt;",
                     "\xe2\x80\xa8",   "]]>",
                     "@REPORT_TITLE@", "\"'\\"};
  run.model_path = "models/<b>bold @REPORT_DATA@";
  report(run);
  const std::string text = page();
  const std::string data = data_text(text);
  EXPECT_THAT(data, Not(AnyOf(HasSubstr("<"), HasSubstr(">"), HasSubstr("\xe2\x80\xa8"))));
  EXPECT_THAT(text, Not(HasSubstr("<img src=x")));
  EXPECT_THAT(text, Not(HasSubstr("<b>bold")));
  EXPECT_THAT(text, HasSubstr("&lt;b&gt;bold"));
  const nlohmann::json tokens =
      figure_of(nlohmann::json::parse(data)["runs"][0], "tokens")["tables"]["tokens"]["fixed"];
  EXPECT_EQ(tokens["text"][0], "</script>");
  EXPECT_EQ(tokens["text"][1], "<img src=x onerror=alert…");
  EXPECT_EQ(tokens["text"][4], "¶");
  EXPECT_EQ(tokens["text"][6], "@REPORT_TITLE@");
}

TEST_F(ReportPage, HoldsTheNumbersOfHeadsCsv) {
  const SyntheticRun run;
  report(run);
  std::istringstream csv(read_text_file(path("run") / "heads.csv"));
  std::string line, cell;
  std::getline(csv, line);
  std::map<std::string, std::size_t> columns;
  for (std::istringstream names(line); std::getline(names, cell, ',');) {
    columns.emplace(cell, columns.size());
  }
  const nlohmann::json table = figure_of(data()["runs"][0], "curves")["tables"]["curves"];
  const std::size_t sizes = run.set_sizes.size();
  const std::vector<std::string> metrics = {"precision", "recall", "f_score"};
  std::size_t compared = 0;
  for (std::size_t head = 0; std::getline(csv, line); ++head) {
    std::vector<std::string> cells;
    for (std::istringstream row(line); std::getline(row, cell, ',');) cells.push_back(cell);
    for (std::size_t m = 0; m < metrics.size(); ++m) {
      for (std::size_t n = 0; n < sizes; ++n) {
        const std::size_t at = (head * metrics.size() + m) * sizes + n;
        const std::string size = "_euclidean_" + std::to_string(run.set_sizes[n]);
        const auto in_csv = [&](const std::string& name) {
          return std::stod(cells.at(columns.at(name)));
        };
        EXPECT_EQ(table["columns"]["measured"][at], in_csv(metrics[m] + "_attention" + size));
        EXPECT_EQ(table["columns"]["random"][at], in_csv(metrics[m] + "_random" + size));
        if (metrics[m] != "f_score") continue;
        EXPECT_EQ(table["columns"]["measured_low"][at], in_csv("f_score_low_attention" + size));
        EXPECT_EQ(table["columns"]["measured_high"][at], in_csv("f_score_high_attention" + size));
        ++compared;
      }
    }
  }
  EXPECT_EQ(compared, run.layers * run.heads * sizes);
}

TEST_F(ReportPage, SaysWhatIsLeftOutAndWhy) {
  SyntheticRun run;
  EXPECT_THAT(report(run).left_out,
              ::testing::UnorderedElementsAre(
                  Field(&LeftOutFigure::reason, HasSubstr("interventions.nc is not there")),
                  Field(&LeftOutFigure::reason, HasSubstr("budget.json is not there"))));
  fs::remove_all(path("run"));
  run.with_heads = run.with_profiles = false;
  const ReportOutcome outcome = report(run);
  for (const char* figure :
       {"regimes by depth", "sink similarity against recall", "histogram of N_crit",
        "norms by position", "tokens of one document"}) {
    EXPECT_THAT(outcome.left_out,
                Contains(AllOf(Field(&LeftOutFigure::figure, figure),
                               Field(&LeftOutFigure::reason, HasSubstr("--theory on")))));
  }
  EXPECT_EQ(data()["runs"][0]["figures"].size(), 2u);
  EXPECT_GE(data()["runs"][0]["left_out"].size(), outcome.left_out.size());
  fs::remove_all(path("run"));
  run.with_geometry = false;
  run.with_heads = true;
  EXPECT_THAT(report(run).left_out,
              Contains(AllOf(Field(&LeftOutFigure::figure, "precision, recall and F against N"),
                             Field(&LeftOutFigure::reason, HasSubstr("geometry.nc")))));
}

TEST_F(ReportPage, WarnsOfFewDocumentsAndUnfinishedRuns) {
  SyntheticRun run;
  run.documents = 3;
  run.status = "running";
  report(run);
  const std::string warnings = data()["runs"][0]["warnings"].dump();
  EXPECT_THAT(warnings, HasSubstr("3 documents: too few for fits (8 are needed)"));
  EXPECT_THAT(warnings, HasSubstr("not finished"));
}

TEST_F(ReportPage, SeveralRunsSideBySide) {
  SyntheticRun run;
  run.write(path("a"));
  run.layers = 3;
  run.write(path("b"));
  write_report({path("a"), path("b")}, path("report.html"));
  const nlohmann::json runs = data()["runs"];
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0]["name"], "a");
  EXPECT_EQ(runs[1]["layers"], 3);
}

TEST_F(ReportPage, WhatIsNoRunIsAnErrorThatNamesIt) {
  const auto error = [&] {
    return error_of([&] { write_report({path("run")}, path("report.html")); });
  };
  EXPECT_THAT(error(), AllOf(HasSubstr(path("run")), HasSubstr("does not exist")));
  fs::create_directory(path("run"));
  EXPECT_THAT(error(), AllOf(HasSubstr(path("run")), HasSubstr("no run.json")));
  SyntheticRun run;
  run.with_geometry = run.with_heads = run.with_profiles = false;
  run.status = "running";
  run.write(path("run"));
  EXPECT_THAT(error(), AllOf(HasSubstr("no results yet"), HasSubstr("--resume")));
  run.schema_version = 99;
  run.write(path("run"));
  EXPECT_THAT(error(), HasSubstr("schema_version 99"));
  run = {};
  run.write(path("run"));
  write_file_atomically(path("run") / "heads.nc", "CDF");
  EXPECT_THAT(error(), HasSubstr("heads.nc"));
  SyntheticRun other;
  other.layers = 5;
  other.write(path("other"));
  fs::copy_file(path("other") / "heads.nc", path("run") / "heads.nc",
                fs::copy_options::overwrite_existing);
  EXPECT_THAT(error(), AllOf(HasSubstr("heads.nc"), HasSubstr("layer"), HasSubstr("5")));
  EXPECT_FALSE(fs::exists(path("report.html")));
}

TEST_F(ReportPage, FiguresOfAnyValueAreDrawnOrLeftOut) {
  SyntheticRun().write(path("run"));
  Dataset heads = read_netcdf(path("run/heads.nc"));
  const std::span<double> sizes = heads.mutable_values<double>("critical_size");
  sizes[0] = std::numeric_limits<double>::infinity();
  sizes[2] = 1e300;
  sizes[4] = -1e300;
  write_netcdf(path("run/heads.nc"), heads);
  Dataset profiles = read_netcdf(path("run/profiles.nc"));
  for (float& weight : profiles.mutable_values<float>("token_attention")) {
    weight = std::numeric_limits<float>::quiet_NaN();
  }
  write_netcdf(path("run/profiles.nc"), profiles);
  EXPECT_THAT(write_report({path("run")}, path("report.html")).left_out,
              Not(Contains(Field(&LeftOutFigure::figure, HasSubstr("N_crit")))));
}

TEST_F(ReportPage, ProfilesOfOtherShapesAreAnError) {
  SyntheticRun().write(path("run"));
  SyntheticRun other;
  other.kv_heads = 1;
  other.write(path("other"));
  Dataset profiles = read_netcdf(path("other/profiles.nc"));
  Dataset wrong;
  for (const Dimension& dimension : profiles.dimensions()) {
    wrong.add_dimension(dimension.name, dimension.name == "kv_head" ? 3 : dimension.size);
  }
  write_netcdf(path("run/profiles.nc"), wrong);
  EXPECT_THAT(error_of([&] { write_report({path("run")}, path("report.html")); }),
              HasSubstr("3 key-value heads, expected a divisor of the 4 query heads"));
}

TEST_F(ReportPage, AThousandHeadsTakeLessThanTwelveMegabytes) {
  SyntheticRun run;
  run.layers = 32;
  run.heads = 32;
  run.kv_heads = 32;
  run.documents = 8;
  run.tokens = 1024;
  run.set_sizes = {1, 2, 4, 8, 16, 32, 64, 128, 256};
  // The browser's test opens it and says how long that takes.
  const char* keep = std::getenv("TOPLENS_KEEP_LARGE_RUN");
  const fs::path directory = keep != nullptr ? fs::path(keep) : path("run");
  run.write(directory);
  const ReportOutcome outcome = write_report({directory}, directory / "report.html");
  EXPECT_LT(outcome.bytes, 12'000'000u);
  EXPECT_EQ(fs::file_size(outcome.page), outcome.bytes);
}

}  // namespace
}  // namespace toplens
