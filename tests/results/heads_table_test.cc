#include "results/heads_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "results/example_geometry.h"
#include "statistics/bootstrap.h"

namespace toplens {
namespace {

using testing::example_geometry;

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> found;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) found.push_back(line);
  return found;
}

TEST(HeadTable, GoldenText) {
  // One document: no interval. Head 0 of the layer sees too few tokens for N = 4.
  const Dataset dataset = example_geometry(1, 1, 2, {2, 4}, {"attention"});
  const GeometryView geometry(dataset);
  HeadTable table(1, 2);
  add_head_columns(table, 1, 1);
  ThreadPool pool(1);
  add_geometry_columns(table, geometry, {}, pool);
  EXPECT_EQ(
      table.to_csv(),
      "layer,head,kv_head,documents,not_defined,"
      "precision_attention_euclidean_2,recall_attention_euclidean_2,f_score_attention_euclidean_2,"
      "f_score_low_attention_euclidean_2,f_score_high_attention_euclidean_2,"
      "margin_attention_euclidean_2,inversions_attention_euclidean_2,"
      "precision_attention_euclidean_4,recall_attention_euclidean_4,f_score_attention_euclidean_4,"
      "f_score_low_attention_euclidean_4,f_score_high_attention_euclidean_4,"
      "margin_attention_euclidean_4,inversions_attention_euclidean_4\n"
      "0,0,0,1,4,1,0.96875,0.9375,,,-1,0,,,,,,,\n"
      "0,1,0,1,,0.96875,0.9375,0.90625,,,0,1,0.90625,0.875,0.84375,,,2,3\n");
}

TEST(HeadTable, IntervalsAreThoseOfTheBootstrap) {
  const Dataset dataset = example_geometry(4, 1, 2, {2, 4});
  const GeometryView geometry(dataset);
  HeadTable table(1, 2);
  ThreadPool pool(1);
  add_geometry_columns(table, geometry, {500, 0.9, 11}, pool);
  const std::vector<std::string> rows = lines(table.to_csv());
  std::vector<double> f;
  for (std::size_t document = 0; document < 4; ++document)
    f.push_back(geometry.f_score()[geometry.index(document, 0, 1, 0, 0, 0)]);
  const auto interval = bootstrap_mean_interval(f, 500, 0.9, 11);
  ASSERT_TRUE(interval && interval->low < interval->high);
  std::istringstream row(rows[2]);
  std::vector<std::string> cells;
  for (std::string cell; std::getline(row, cell, ',');) cells.push_back(cell);
  // not_defined, precision, recall, f_score, low, high
  EXPECT_EQ(std::stod(cells[3]), (f[0] + f[1] + f[2] + f[3]) / 4);
  EXPECT_EQ(std::stod(cells[4]), interval->low);
  EXPECT_EQ(std::stod(cells[5]), interval->high);
}

TEST(HeadTable, IsTheSameOnAnyNumberOfThreads) {
  const Dataset dataset = example_geometry(5, 2, 3, {2, 4, 8});
  const GeometryView geometry(dataset);
  std::vector<std::string> tables;
  for (const int threads : {1, 2, 5}) {
    HeadTable table(2, 3);
    ThreadPool pool(threads);
    add_geometry_columns(table, geometry, {300, 0.95, 3}, pool);
    tables.push_back(table.to_csv());
  }
  EXPECT_EQ(tables[1], tables[0]);
  EXPECT_EQ(tables[2], tables[0]);
}

TEST(HeadTable, GroupedQueriesAndAppendedColumns) {
  HeadTable table(2, 4);
  add_head_columns(table, 2, 3);
  table.add_column("regime",
                   std::vector<std::string>{"Mixer", "a,\"b\"", "", "", "", "", "", "x\ny"});
  table.add_column("third", std::vector<double>(8, 1.0 / 3.0));
  const std::string csv = table.to_csv();
  EXPECT_EQ(lines(csv)[2], "0,1,0,3,\"a,\"\"b\"\"\",0.3333333333333333");
  EXPECT_EQ(lines(csv)[5], "1,0,0,3,,0.3333333333333333");
  EXPECT_NE(csv.find("1,3,1,3,\"x\ny\",0.3333333333333333\n"), std::string::npos);
}

}  // namespace
}  // namespace toplens
