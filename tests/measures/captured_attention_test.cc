// The head measures of a whole run, as they stand in heads.nc, against plain float64 sums over
// attention, values and outputs captured from the same documents and repeated random sequences.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <eigen3/Eigen/SVD>
#include <limits>
#include <map>
#include <numeric>

#include "measures/detectors.h"
#include "results/netcdf_file.h"
#include "support/command.h"
#include "support/engine_run.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using testing::TokenIds;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr std::uint64_t kSeed = 11;

std::size_t index(int value) { return static_cast<std::size_t>(value); }

/// A matrix in float64; attention has zeros where a query sees nothing.
struct Matrix {
  Matrix(const std::vector<float>& source, std::size_t columns_)
      : columns(columns_), numbers(source.begin(), source.end()) {}
  std::size_t columns;
  std::vector<double> numbers;
  std::size_t rows() const { return numbers.size() / columns; }
  double operator()(std::size_t row, std::size_t column) const {
    return numbers[row * columns + column];
  }
};

/// Weights are positive wherever a softmax saw a key.
std::size_t first_seen(const Matrix& attention, std::size_t query) {
  std::size_t key = 0;
  while (attention(query, key) == 0.0) ++key;
  return key;
}

double effective_rank(const Matrix& matrix, std::size_t first) {
  Eigen::MatrixXd dense(matrix.rows() - first, matrix.columns);
  for (Eigen::Index i = 0; i < dense.rows(); ++i) {
    for (Eigen::Index c = 0; c < dense.cols(); ++c) {
      dense(i, c) = matrix(first + static_cast<std::size_t>(i), static_cast<std::size_t>(c));
    }
  }
  const Eigen::VectorXd singular = Eigen::JacobiSVD<Eigen::MatrixXd>(dense).singularValues();
  double entropy = 0.0;
  for (const double value : singular) {
    const double share = value / singular.sum();
    if (share > 0.0) entropy -= share * std::log(share);
  }
  return std::exp(entropy);
}

using Figures = std::map<std::string, double>;

/// Of one query.
Figures of_query(const Matrix& attention, std::size_t query) {
  Figures figures = {{"entropy", 0.0},
                     {"maximum_weight", 0.0},
                     {"mean_attention_distance", 0.0},
                     {"streaming_mass", 0.0}};
  for (std::size_t key = 0; key <= query; ++key) {
    const double weight = attention(query, key);
    if (weight > 0.0) figures["entropy"] -= weight * std::log(weight);
    figures["maximum_weight"] = std::max(figures["maximum_weight"], weight);
    figures["mean_attention_distance"] += weight * static_cast<double>(query - key);
    if (key < 4 || query - key < 64) figures["streaming_mass"] += weight;
  }
  const auto seen = static_cast<double>(query + 1 - first_seen(attention, query));
  figures["relative_entropy"] = seen > 1 ? figures["entropy"] / std::log(seen) : kNan;
  return figures;
}

/// Of one document: means over queries from `first_query` on, and what is of all queries anyway.
Figures of_document(const testing::SeenHead& head, std::size_t first_query, bool with_ranks) {
  const std::size_t length = index(head.view.length), dim = head.view.values.columns();
  const Matrix attention(head.attention, length);
  Figures sums, counts;
  for (std::size_t query = first_query; query < length; ++query) {
    for (const auto& [name, value] : of_query(attention, query)) {
      if (std::isnan(value)) continue;
      sums[name] += value;
      counts[name] += 1.0;
    }
  }
  for (auto& [name, sum] : sums) sum /= counts[name];
  const std::size_t first = first_seen(attention, length - 1);
  double column = 0.0;
  for (std::size_t query = 0; query < length; ++query) column += attention(query, 0);
  column /= static_cast<double>(length);
  sums["sink_attention"] = first == 0 ? column : kNan;
  sums["sink_rate"] = first == 0 ? (column > 0.3 ? 1.0 : 0.0) : kNan;
  sums["value_effective_rank"] =
      with_ranks ? effective_rank(Matrix(head.values, dim), first) : kNan;
  sums["output_effective_rank"] = with_ranks ? effective_rank(Matrix(head.output, dim), 0) : kNan;
  return sums;
}

/// The patterns as matrices, one beside the other as in TransformerLens: a duplicate is an equal
/// token off the diagonal, induction is the duplicates' pattern moved one key to the right.
Figures of_sequence(const testing::SeenHead& head, const TokenIds& tokens) {
  const std::size_t length = tokens.size();
  const Matrix attention(head.attention, length);
  const auto duplicate = [&](std::size_t query, std::size_t key) {
    return query != key && tokens[query] == tokens[key] ? 1.0 : 0.0;
  };
  Figures masses;
  double total = 0.0;
  for (std::size_t query = 0; query < length; ++query) {
    for (std::size_t key = 0; key <= query; ++key) {
      const double weight = attention(query, key);
      total += weight;
      masses["previous_token_score"] += query == key + 1 ? weight : 0.0;
      masses["duplicate_token_score"] += weight * duplicate(query, key);
      masses["induction_score"] += key == 0 ? 0.0 : weight * duplicate(query, key - 1);
    }
  }
  for (auto& [name, mass] : masses) mass /= total;
  return masses;
}

struct Corpus {
  std::size_t documents, length;
  bool with_bos;  ///< every row begins with the model's BOS, where config.json names one
  std::string queries;
  int detector_tokens;
};

class CapturedAttention : public ::testing::TestWithParam<fs::path> {
 protected:
  /// Runs `analyze` and compares every head; the sink rates found.
  std::vector<double> compare(const Corpus& corpus) {
    const CheckpointModel model(GetParam());
    const int vocabulary = model.config().vocab_size;
    std::vector<TokenIds> lanes = testing::random_documents(
        std::vector<std::size_t>(corpus.documents, corpus.length), vocabulary, 23);
    std::vector<std::int32_t> all;
    std::optional<std::int32_t> bos;
    if (corpus.with_bos && model.config().bos_token_id) bos = *model.config().bos_token_id;
    for (TokenIds& ids : lanes) {
      if (bos) ids.front() = *bos;
      all.insert(all.end(), ids.begin(), ids.end());
    }
    for (std::size_t i = 0; i < std::min<std::size_t>(corpus.documents, 8); ++i) {
      lanes.push_back(
          repeated_random_tokens(kSeed, i, index(corpus.detector_tokens), vocabulary, bos));
    }
    testing::RecordingObserver capture(QuerySelection::all());
    std::vector<AttentionObserver*> observers = {&capture};
    testing::run_engine(model, lanes, ComputeType::f32, {}, observers);

    const testing::ScratchDirectory scratch;
    testing::write_npy_int32(scratch / "ids.npy", {corpus.documents, corpus.length}, all);
    const testing::CommandResult run =
        testing::run_command(testing::tool(), {"analyze",
                                               GetParam(),
                                               "--tokens",
                                               scratch / "ids.npy",
                                               "--set-sizes",
                                               "1,4",
                                               "--theory",
                                               "off",
                                               "--random-repeats",
                                               "1",
                                               "--compute",
                                               "f32",
                                               "--seed",
                                               std::to_string(kSeed),
                                               "--queries",
                                               corpus.queries,
                                               "--detector-tokens",
                                               std::to_string(corpus.detector_tokens),
                                               "--out",
                                               scratch / "run"});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    const Dataset heads = read_netcdf(scratch / "run" / "heads.nc");
    const std::size_t per_layer = index(model.config().num_query_heads);
    for (std::size_t row = 0; row < per_layer * index(model.config().num_layers); ++row) {
      compare_head(corpus, lanes, capture, heads, row, per_layer);
    }
    const auto rates = heads.values<double>("sink_rate");
    return {rates.begin(), rates.end()};
  }

 private:
  static void compare_head(const Corpus& corpus, const std::vector<TokenIds>& lanes,
                           const testing::RecordingObserver& capture, const Dataset& heads,
                           std::size_t row, std::size_t per_layer) {
    Figures sums, counts;
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
      const testing::SeenHead& seen =
          capture.head(static_cast<int>(row / per_layer), static_cast<int>(row % per_layer),
                       static_cast<int>(lane));
      const std::size_t first_query = corpus.queries == "all" ? 0 : corpus.length - 1;
      const Figures figures = lane < corpus.documents ? of_document(seen, first_query, lane < 4)
                                                      : of_sequence(seen, lanes[lane]);
      for (const auto& [name, value] : figures) {
        sums[name] += std::isnan(value) ? 0.0 : value;
        counts[name] += std::isnan(value) ? 0.0 : 1.0;
      }
    }
    EXPECT_EQ(sums.size(), 12u);
    const double rest = heads.values<double>("non_streaming_mass")[row];
    const auto documents = static_cast<double>(corpus.documents);
    EXPECT_NEAR(rest, 1.0 - sums.at("streaming_mass") / documents, 1e-5);
    EXPECT_GE(rest, 0.0);
    EXPECT_GE(heads.values<double>("non_streaming_mass_low")[row], 0.0);
    for (const auto& [name, sum] : sums) {
      const double found = heads.values<double>(name)[row];
      const double expected = sum / counts.at(name);
      const std::string where =
          name + " of head " + std::to_string(row) + ": " + std::to_string(found);
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(found)) << where;
        continue;
      }
      EXPECT_NEAR(found, expected, 1e-5 * std::max(1.0, expected)) << where;
      EXPECT_EQ(heads.values<std::int64_t>(name + "_documents")[row],
                static_cast<std::int64_t>(counts.at(name)))
          << where;
    }
  }
};

TEST_P(CapturedAttention, GivesTheMeasuresOfTheFinalQuery) {
  compare({6, 90, true, "last", 30});  // longer than the streaming window of 4 + 64
}

TEST_P(CapturedAttention, GivesTheMeasuresOfAllQueriesAndSinkRates) {
  // Ten tokens of nearly uniform attention: the mean weight on the first is about 0.29.
  const std::vector<double> rates = compare({12, 10, false, "all", 25});
  EXPECT_TRUE(std::any_of(rates.begin(), rates.end(), [](double x) { return x > 0 && x < 1; }));
}

INSTANTIATE_TEST_SUITE_P(Models, CapturedAttention, ::testing::ValuesIn(testing::golden_models()),
                         [](const auto& info) {
                           std::string name = info.param.filename().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace toplens
