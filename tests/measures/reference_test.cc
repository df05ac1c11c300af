// Signature, measures of others and selection errors against plain float64 loops over what an
// observer captures, for every golden checkpoint; the same numbers whatever the threads and
// batches.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <eigen3/Eigen/SVD>
#include <numeric>

#include "geometry/reference_geometry.h"
#include "measures/detectors.h"
#include "measures/measure_observer.h"
#include "support/engine_run.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using testing::EngineCut;
using testing::SeenHead;
using testing::TokenIds;

constexpr std::size_t kDocuments = 2, kLength = 40;
const std::vector<int> kSizes = {1, 2, 4, 8, 16};

std::size_t index(int value) { return static_cast<std::size_t>(value); }

double norm(const std::vector<double>& vector) {
  double square = 0.0;
  for (const double x : vector) square += x * x;
  return std::sqrt(square);
}

double effective_rank(const std::vector<float>& matrix, std::size_t first, std::size_t rows,
                      std::size_t columns) {
  Eigen::MatrixXd dense(rows, columns);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t c = 0; c < columns; ++c) {
      dense(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(c)) =
          double{matrix[(first + i) * columns + c]};
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

/// One query from the definitions.
struct Reference {
  bool sink_visible = false;
  std::size_t visible = 0;
  double sink = 0, final = 0, recency = 0, content = 0, streaming = 0, entropy = 0, maximum = 0;
  double distance = 0, effective_number = 0, other_distance = 0, separability = 0, small_n = 0;
  double output_norm = 0, mean_norm = 0, sink_similarity = 0, aggregate_similarity = 0;
  std::vector<double> deletion, renormalisation, coherence;
};

std::vector<double> sum_of(const std::vector<std::uint32_t>& tokens, const std::vector<double>& a,
                           const std::vector<std::vector<double>>& v) {
  std::vector<double> sum(v.front().size(), 0.0);
  for (const std::uint32_t i : tokens) {
    for (std::size_t c = 0; c < sum.size(); ++c) sum[c] += a[i] * v[i][c];
  }
  return sum;
}

double f_score(const std::vector<float>& a, MatrixView<const float> v, std::size_t size) {
  std::vector<double> scores(a.begin(), a.end());
  const auto order = testing::reference_order(scores, size);
  return testing::reference_geometry(a, v, Distance::euclidean, order, 0.0).separability.f_score;
}

Reference reference_of(const SeenHead& head, int query) {
  const std::size_t length = index(head.view.length), dim = head.view.values.columns();
  const std::size_t first = index(head.view.first_visible(query)), t = index(query);
  Reference r;
  r.sink_visible = first == 0;
  r.visible = t + 1 - first;
  std::vector<float> weights;
  std::vector<double> a;
  std::vector<std::vector<double>> v;
  for (std::size_t i = first; i <= t; ++i) {
    weights.push_back(head.attention[(t - index(head.view.first_query)) * length + i]);
    a.push_back(weights.back());
    const float* value = head.values.data() + i * dim;
    v.emplace_back(value, value + dim);
  }
  const MatrixView<const float> values(head.values.data() + first * dim, r.visible, dim);
  double other = 0.0, squares = 0.0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    const std::size_t i = first + k;
    if (i == 0) r.sink = a[k];
    if (i == t && t > 0) r.final = a[k];
    const bool recent = i + 15 >= t && i < t && i >= 1;
    if (recent) r.recency += a[k];
    if (i < 4 || i + 64 > t) r.streaming += a[k];
    if (a[k] > 0) r.entropy -= a[k] * std::log(a[k]);
    r.maximum = std::max(r.maximum, a[k]);
    r.distance += a[k] * static_cast<double>(t - i);
    if (i == 0) continue;
    other += a[k];
    squares += a[k] * a[k];
    r.other_distance += a[k] * static_cast<double>(t - i);
  }
  r.content = std::accumulate(a.begin(), a.end(), 0.0) - r.sink - r.final - r.recency;
  r.effective_number = other * other / squares;
  r.other_distance /= other * static_cast<double>(t);
  for (const std::size_t size : {2u, 3u, 4u}) {
    if (r.visible <= 4) break;
    r.small_n += f_score(weights, values, size) / 3.0;
  }
  if (r.sink_visible && r.visible >= 16) {
    const std::size_t size =
        std::clamp<std::size_t>(static_cast<std::size_t>(std::lround(r.effective_number)), 1, 8);
    const std::vector<float> rest(weights.begin() + 1, weights.end());
    r.separability = size == 1 ? 1.0 : f_score(rest, values.row_range(1, r.visible - 1), size);
  }
  std::vector<std::uint32_t> everything(a.size());
  std::iota(everything.begin(), everything.end(), 0u);
  const std::vector<double> output = sum_of(everything, a, v);
  r.output_norm = norm(output);
  const auto order = testing::reference_order(a, a.size());
  for (const int size : kSizes) {
    if (index(size) >= a.size()) break;
    const std::vector<std::uint32_t> kept(order.begin(), order.begin() + size);
    const std::vector<std::uint32_t> dropped(order.begin() + size, order.end());
    double kept_mass = 0.0, dropped_squares = 0.0;
    for (const std::uint32_t i : kept) kept_mass += a[i];
    for (const std::uint32_t i : dropped) dropped_squares += std::pow(a[i] * norm(v[i]), 2);
    const std::vector<double> s = sum_of(kept, a, v), rest = sum_of(dropped, a, v);
    std::vector<double> change = output;
    for (std::size_t c = 0; c < change.size(); ++c) change[c] -= s[c] / kept_mass;
    r.deletion.push_back(norm(rest) / r.output_norm);
    r.renormalisation.push_back(norm(change) / r.output_norm);
    r.coherence.push_back(std::pow(norm(rest), 2) / dropped_squares);
  }
  return r;
}

/// Of the values: c and cosines with the sink over what the final query sees.
void add_values(const SeenHead& head, Reference& r) {
  const std::size_t dim = head.view.values.columns(), length = index(head.view.length);
  const std::size_t first = index(head.view.first_visible(head.view.length - 1));
  std::vector<std::vector<double>> v;
  for (std::size_t i = 0; i < length; ++i) {
    const float* value = head.values.data() + i * dim;
    v.emplace_back(value, value + dim);
  }
  double count = 0.0;
  for (std::size_t i = std::max<std::size_t>(first, 1); i < length; ++i, ++count) {
    r.mean_norm += norm(v[i]);
  }
  r.mean_norm /= count;
  if (first > 0) return;
  const auto cosine = [](const std::vector<double>& x, const std::vector<double>& y) {
    return std::inner_product(x.begin(), x.end(), y.begin(), 0.0) / (norm(x) * norm(y));
  };
  for (std::size_t i = 1; i < length; ++i) r.sink_similarity += cosine(v[0], v[i]) / count;
  std::vector<double> a;
  for (std::size_t i = 0; i < length; ++i) {
    a.push_back(head.attention[(length - 1 - index(head.view.first_query)) * length + i]);
  }
  std::vector<std::uint32_t> top = testing::reference_order(a, 4);
  top.erase(std::remove(top.begin(), top.end(), 0u), top.end());
  r.aggregate_similarity = cosine(v[0], sum_of(top, a, v));
}

MeasureRecords record(const CheckpointModel& model, const std::vector<TokenIds>& documents,
                      QuerySelection queries, const EngineCut& cut,
                      testing::RecordingObserver* capture = nullptr) {
  MeasuredShape shape;
  shape.layers = index(model.config().num_layers);
  shape.heads = index(model.config().num_query_heads);
  shape.set_sizes = kSizes;
  shape.settings = measure_settings(std::vector<int>{static_cast<int>(kLength)},
                                    queries.is_last() ? "last" : "all");
  MeasureOptions options;
  options.set_sizes = kSizes;
  MeasureRecords all;
  const std::size_t batch = cut.lanes_per_batch == 0 ? documents.size() : cut.lanes_per_batch;
  for (std::size_t first = 0; first < documents.size(); first += batch) {
    shape.documents = batch;
    MeasureRecords records = make_measure_records(shape);
    std::vector<std::uint64_t> numbers(batch);
    std::iota(numbers.begin(), numbers.end(), first);
    MeasureObserver observer(options, queries, numbers, records, 0);
    std::vector<AttentionObserver*> observers = {&observer};
    if (capture != nullptr) observers.push_back(capture);
    testing::run_engine(model, std::span(documents).subspan(first, batch), ComputeType::f32,
                        {cut.threads, 0, cut.group_rows}, observers);
    all.shape = records.shape;
    all.measures.insert(all.measures.end(), records.measures.begin(), records.measures.end());
    all.size_measures.insert(all.size_measures.end(), records.size_measures.begin(),
                             records.size_measures.end());
    all.reasons.insert(all.reasons.end(), records.reasons.begin(), records.reasons.end());
  }
  all.shape.documents = documents.size();
  all.detectors.assign(all.shape.documents * shape.layers * shape.heads * kNumDetectors, 0.0f);
  return all;
}

#define EXPECT_CLOSE(found, expected) \
  EXPECT_NEAR(found, expected, 1e-5 * std::max(1.0, std::abs(expected)))

class GoldenMeasures : public ::testing::TestWithParam<fs::path> {};

TEST_P(GoldenMeasures, EqualPlainFloat64Loops) {
  const CheckpointModel model(GetParam());
  const std::vector<std::size_t> lengths(kDocuments, kLength);
  const std::vector<TokenIds> documents =
      testing::random_documents(lengths, model.config().vocab_size, 5);
  testing::RecordingObserver capture(QuerySelection::all());
  const MeasureRecords records =
      record(model, documents, QuerySelection::all(), {1, 0, 8192}, &capture);
  const MeasureView view = view_of(records);
  std::size_t without_sink = 0;
  for (std::size_t document = 0; document < kDocuments; ++document) {
    for (std::size_t layer = 0; layer < view.shape.layers; ++layer) {
      for (std::size_t head = 0; head < view.shape.heads; ++head) {
        SCOPED_TRACE(::testing::Message() << document << " layer " << layer << " head " << head);
        const SeenHead& seen = capture.head(static_cast<int>(layer), static_cast<int>(head),
                                            static_cast<int>(document));
        const auto at = [&](std::size_t setting, Measure measure) {
          return double{view.measure(document, setting, layer, head, measure)};
        };
        // The final query (setting 1 of a run over all).
        Reference r = reference_of(seen, kLength - 1);
        add_values(seen, r);
        EXPECT_CLOSE(at(1, Measure::entropy), r.entropy);
        EXPECT_CLOSE(at(1, Measure::relative_entropy),
                     r.entropy / std::log(static_cast<double>(r.visible)));
        EXPECT_CLOSE(at(1, Measure::maximum_weight), r.maximum);
        EXPECT_CLOSE(at(1, Measure::mean_attention_distance), r.distance);
        EXPECT_CLOSE(at(1, Measure::streaming_mass), r.streaming);
        EXPECT_CLOSE(at(1, Measure::final_mass), r.final);
        EXPECT_CLOSE(at(1, Measure::recency_mass), r.recency);
        EXPECT_CLOSE(at(1, Measure::content_mass), r.content);
        EXPECT_CLOSE(at(1, Measure::small_n_f_score), r.small_n);
        EXPECT_CLOSE(at(1, Measure::head_output_norm), r.output_norm);
        EXPECT_CLOSE(at(1, Measure::mean_value_norm), r.mean_norm);
        const std::size_t dim = seen.view.values.columns();
        const std::size_t first = index(seen.view.first_visible(kLength - 1));
        EXPECT_CLOSE(at(1, Measure::value_effective_rank),
                     effective_rank(seen.values, first, kLength - first, dim));
        EXPECT_CLOSE(at(1, Measure::output_effective_rank),
                     effective_rank(seen.output, 0, kLength, dim));
        for (std::size_t n = 0; n < r.deletion.size(); ++n) {
          const auto size = [&](SizeMeasure measure) {
            return double{view.size_measure(document, 1, layer, head, n, measure)};
          };
          EXPECT_CLOSE(size(SizeMeasure::deletion_error), r.deletion[n]);
          EXPECT_CLOSE(size(SizeMeasure::renormalisation_error), r.renormalisation[n]);
          EXPECT_CLOSE(size(SizeMeasure::dropped_coherence), r.coherence[n]);
        }
        if (!r.sink_visible) {
          ++without_sink;
          EXPECT_EQ(view.reason(document, 1, layer, head), SignatureReason::no_sink_visible);
          for (const Measure measure :
               {Measure::sink_mass, Measure::sink_rate, Measure::sink_attention,
                Measure::sink_similarity, Measure::selectivity, Measure::separability}) {
            EXPECT_TRUE(std::isnan(at(1, measure)));
          }
          continue;
        }
        EXPECT_EQ(view.reason(document, 1, layer, head), SignatureReason::defined);
        EXPECT_CLOSE(at(1, Measure::sink_mass), r.sink);
        EXPECT_CLOSE(at(1, Measure::log_effective_number), std::log(r.effective_number));
        EXPECT_CLOSE(at(1, Measure::selectivity),
                     1.0 - std::log(r.effective_number) / std::log(kLength - 1.0));
        EXPECT_CLOSE(at(1, Measure::separability), r.separability);
        EXPECT_CLOSE(at(1, Measure::attention_distance), r.other_distance);
        EXPECT_CLOSE(at(1, Measure::sink_similarity), r.sink_similarity);
        EXPECT_CLOSE(at(1, Measure::sink_aggregate_similarity), r.aggregate_similarity);
        double column = 0.0;
        for (std::size_t i = 0; i < kLength; ++i) column += double{seen.attention[i * kLength]};
        column /= kLength;
        EXPECT_CLOSE(at(1, Measure::sink_attention), column);
        EXPECT_EQ(at(1, Measure::sink_rate), column > 0.3 ? 1.0 : 0.0);
        // All queries: means over those with a signature, and over all for the others' measures.
        double entropy = 0.0, sink = 0.0, log_number = 0.0, count = 0.0;
        for (int query = 0; query < static_cast<int>(kLength); ++query) {
          const Reference of = reference_of(seen, query);
          entropy += of.entropy / kLength;
          if (of.visible < 16 || !of.sink_visible) continue;
          sink += of.sink;
          log_number += std::log(of.effective_number);
          ++count;
        }
        EXPECT_CLOSE(at(0, Measure::entropy), entropy);
        EXPECT_CLOSE(at(0, Measure::sink_mass), sink / count);
        EXPECT_CLOSE(at(0, Measure::log_effective_number), log_number / count);
      }
    }
  }
  const bool slides = GetParam().filename() == "tiny-mistral";
  EXPECT_EQ(without_sink > 0, slides || GetParam().filename() == "tiny-gemma2");
}

TEST_P(GoldenMeasures, DoNotDependOnThreadsAndBatches) {
  const CheckpointModel model(GetParam());
  const std::vector<std::size_t> lengths(kDocuments, kLength);
  const std::vector<TokenIds> documents =
      testing::random_documents(lengths, model.config().vocab_size, 6);
  const MeasureRecords one = record(model, documents, QuerySelection::last(), {1, 0, 8192});
  const MeasureRecords other = record(model, documents, QuerySelection::last(), {3, 1, 64});
  const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  };
  EXPECT_TRUE(same(one.measures, other.measures));
  EXPECT_TRUE(same(one.size_measures, other.size_measures));
  EXPECT_EQ(one.reasons, other.reasons);
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenMeasures, ::testing::ValuesIn(testing::golden_models()),
                         [](const auto& info) {
                           std::string name = info.param.filename().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(HeadMeasures, ZeroValuesHaveReasonsNotNumbers) {
  const std::vector<float> values(kLength * 8, 0.0f);
  std::vector<float> attention(kLength, 1.0f / kLength);
  HeadView view;
  view.length = kLength;
  view.values = {values.data(), kLength, 8};
  HeadMeasures measures(kSizes, {});
  measures.set_values(view, 1, true);
  const QueryMeasures& of = measures.measure(view, kLength - 1, attention);
  EXPECT_EQ(of.reason, SignatureReason::zero_values);
  EXPECT_EQ(of[Measure::head_output_norm], 0.0);
  for (const auto& sizes : of.by_size) {
    for (const double value : sizes) EXPECT_TRUE(std::isnan(value));
  }
  EXPECT_TRUE(std::isnan(measures.of_values()[Measure::sink_similarity]));
  EXPECT_TRUE(std::isnan(measures.of_values()[Measure::value_effective_rank]));
  EXPECT_FALSE(std::isnan(of[Measure::entropy]));
}

TEST(Detectors, CountTheMassOnTheirPatterns) {
  // Tokens a b a b: uniform attention. Row i has weight 1 / (i + 1) on each visible token.
  const std::vector<std::int32_t> tokens = {7, 9, 7, 9};
  std::vector<float> attention(16, 0.0f);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j <= i; ++j) attention[i * 4 + j] = 1.0f / static_cast<float>(i + 1);
  }
  const auto scores = detector_scores({attention.data(), 4, 4}, tokens);
  EXPECT_NEAR(scores[index_of(Detector::previous_token)], (1.0 / 2 + 1.0 / 3 + 1.0 / 4) / 4, 1e-7);
  EXPECT_NEAR(scores[index_of(Detector::duplicate_token)], (1.0 / 3 + 1.0 / 4) / 4, 1e-7);
  // Row 2 at key 1 (after the first a), row 3 at key 2 (after the first b).
  EXPECT_NEAR(scores[index_of(Detector::induction)], (1.0 / 3 + 1.0 / 4) / 4, 1e-7);
}

TEST(Detectors, SequencesRepeatAndAvoidBos) {
  for (std::uint64_t sequence = 0; sequence < 20; ++sequence) {
    const auto ids = repeated_random_tokens(1, sequence, 30, 5, 2);
    ASSERT_EQ(ids.size(), 61u);
    EXPECT_EQ(ids[0], 2);
    for (std::size_t i = 1; i <= 30; ++i) {
      EXPECT_EQ(ids[i], ids[i + 30]);
      EXPECT_NE(ids[i], 2);
      EXPECT_GE(ids[i], 0);
      EXPECT_LT(ids[i], 5);
    }
  }
  EXPECT_NE(repeated_random_tokens(1, 0, 30, 1000, std::nullopt),
            repeated_random_tokens(1, 1, 30, 1000, std::nullopt));
}

}  // namespace
}  // namespace toplens
