#include "geometry/geometry_observer.h"

#include <cmath>
#include <cstddef>
#include <cstring>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "geometry/reference_geometry.h"
#include "geometry/sample_heads.h"

namespace toplens {
namespace {

constexpr int kLayers = 2, kHeads = 4, kKvHeads = 2, kDim = 6;

/// A model's attention over one document, made up from its number.
struct Document {
  std::uint64_t id = 0;
  int length = 0;
  int window = 0;
  std::vector<std::vector<float>> attention;  // [layer * head] of [length, length]
  std::vector<std::vector<float>> values;     // [layer * kv_head] of [length, dim]
};

Document make_document(std::uint64_t id, int length, int window) {
  Document document{id, length, window, {}, {}};
  Random random(id);
  const auto tokens = static_cast<std::size_t>(length);
  for (int i = 0; i < kLayers * kHeads; ++i) {
    std::vector<float> matrix(tokens * tokens, 0.0f);
    for (std::size_t t = 0; t < tokens; ++t) {
      const std::size_t first =
          window > 0 && t + 1 > static_cast<std::size_t>(window) ? t + 1 - window : 0;
      const auto row = testing::softmax_row(random, t + 1 - first, 2.0);
      std::copy(row.begin(), row.end(), matrix.data() + t * tokens + first);
    }
    document.attention.push_back(matrix);
  }
  for (int i = 0; i < kLayers * kKvHeads; ++i) {
    std::vector<float> matrix(tokens * kDim);
    for (float& x : matrix) x = static_cast<float>(testing::normal(random));
    document.values.push_back(matrix);
  }
  return document;
}

/// What a forward pass does for an observer: (lane, kv head) pairs go to workers in turn.
void show(GeometryObserver& observer, const std::vector<Document>& documents, int workers,
          int rows_before = 0) {
  ObservedPass pass{kLayers, kHeads, kKvHeads, kDim, workers, {}};
  for (const Document& document : documents) pass.lane_lengths.push_back(document.length);
  observer.begin(pass);
  for (int layer = 0; layer < kLayers; ++layer) {
    const auto work = [&](int worker) {
      for (int item = worker; item < static_cast<int>(documents.size()) * kKvHeads;
           item += workers) {
        const int lane = item / kKvHeads;
        const Document& document = documents[static_cast<std::size_t>(lane)];
        for (int i = 0; i < kHeads / kKvHeads; ++i) {
          HeadView view;
          view.kv_head = item % kKvHeads;
          view.head = {layer, view.kv_head * (kHeads / kKvHeads) + i};
          view.lane = lane;
          view.length = document.length;
          view.window = document.window;
          view.first_query =
              std::max(observer.queries().first_query(document.length) - rows_before, 0);
          const auto tokens = static_cast<std::size_t>(document.length);
          const auto first = static_cast<std::size_t>(view.first_query);
          view.attention = MatrixView<const float>(
              document.attention[static_cast<std::size_t>(layer * kHeads + view.head.query_head)]
                      .data() +
                  first * tokens,
              tokens - first, tokens);
          view.values = MatrixView<const float>(
              document.values[static_cast<std::size_t>(layer * kKvHeads + view.kv_head)].data(),
              tokens, kDim);
          observer.observe(view, worker);
        }
      }
    };
    std::vector<std::thread> threads;
    for (int worker = 0; worker < workers; ++worker) threads.emplace_back(work, worker);
    for (std::thread& thread : threads) thread.join();
  }
  observer.end();
}

GeometryOptions small_options() {
  GeometryOptions options;
  options.set_sizes = {1, 2, 4, 8, 16};
  options.random_repeats = 3;
  return options;
}

std::vector<std::uint64_t> ids(const std::vector<Document>& documents) {
  std::vector<std::uint64_t> result;
  for (const Document& document : documents) result.push_back(document.id);
  return result;
}

bool same_bits(const Separability& a, const Separability& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

TEST(GeometryObserver, MeansOverAllQueriesAreThoseOfTheReference) {
  for (const int window : {0, 9}) {
    const Document document = make_document(5, 24, window);
    GeometryObserver observer(small_options(), QuerySelection::all(), {document.id});
    show(observer, {document}, 1);
    const GeometryOptions& options = observer.options();
    for (int layer = 0; layer < kLayers; ++layer) {
      for (int head = 0; head < kHeads; ++head) {
        const auto& attention = document.attention[static_cast<std::size_t>(layer * kHeads + head)];
        const auto& values =
            document
                .values[static_cast<std::size_t>(layer * kKvHeads + head / (kHeads / kKvHeads))];
        for (std::size_t r = 0; r < 2; ++r) {
          for (std::size_t d = 0; d < 2; ++d) {
            for (std::size_t n = 0; n < options.set_sizes.size(); ++n) {
              const auto size = static_cast<std::size_t>(options.set_sizes[n]);
              Separability mean = zero_separability();
              int queries = 0;
              for (std::size_t t = 0; t < 24; ++t) {
                const std::size_t first =
                    window > 0 && t + 1 > static_cast<std::size_t>(window) ? t + 1 - window : 0;
                if (size >= t + 1 - first) continue;
                const std::span<const float> row(attention.data() + t * 24 + first, t + 1 - first);
                const MatrixView<const float> seen(values.data() + first * kDim, row.size(), kDim);
                const auto order = testing::reference_order(
                    testing::reference_scores(row, seen, options.rankings[r]), size);
                add(mean, testing::reference_geometry(row, seen, options.distances[d], order, 0.0)
                              .separability);
                ++queries;
              }
              const auto l = static_cast<std::size_t>(layer), h = static_cast<std::size_t>(head);
              const Separability& found = observer.results().at(0, l, h, r, d, n);
              ASSERT_EQ(observer.results().num_queries(0, l, h, r, n), queries);
              ASSERT_EQ(found.defined(), queries > 0);
              if (queries == 0) continue;
              divide(mean, queries);
              ASSERT_NEAR(found.precision, mean.precision, 1e-13);
              ASSERT_NEAR(found.recall, mean.recall, 1e-13);
              ASSERT_NEAR(found.f_score, mean.f_score, 1e-13);
              ASSERT_NEAR(found.inversions, mean.inversions, 1e-10);
              ASSERT_NEAR(found.margin, mean.margin, 1e-7);
            }
          }
        }
        const auto l = static_cast<std::size_t>(layer), h = static_cast<std::size_t>(head);
        for (std::size_t n = 0; n < options.set_sizes.size(); ++n) {
          // Random at the final query only.
          const bool defined = options.set_sizes[n] < (window > 0 ? window : 24);
          EXPECT_EQ(observer.results().num_queries(0, l, h, 2, n), defined ? 1 : 0);
          EXPECT_EQ(observer.results().at(0, l, h, 2, 0, n).defined(), defined);
        }
      }
    }
  }
}

TEST(GeometryObserver, RandomAtAllQueriesOnlyWhenAsked) {
  const Document document = make_document(6, 12, 0);
  GeometryOptions options = small_options();
  options.random_at_all_queries = true;
  GeometryObserver observer(options, QuerySelection::tail(5), {document.id});
  show(observer, {document}, 1);
  EXPECT_EQ(observer.results().num_queries(0, 1, 3, 2, 0), 5);
  EXPECT_EQ(observer.results().num_queries(0, 1, 3, 0, 3), 4);  // 8 of 8 visible: not defined
}

TEST(GeometryObserver, ResultsDependNeitherOnWorkersNorOnTheBatch) {
  const std::vector<Document> documents = {make_document(11, 40, 0), make_document(12, 17, 8),
                                           make_document(13, 33, 0)};
  for (const QuerySelection queries : {QuerySelection::last(), QuerySelection::all()}) {
    GeometryObserver together(small_options(), queries, ids(documents));
    show(together, documents, 1);
    GeometryObserver threaded(small_options(), queries, ids(documents));
    show(threaded, documents, 3);
    // Rows of earlier queries, which another observer asked for, change nothing.
    GeometryObserver more_rows(small_options(), queries, ids(documents));
    show(more_rows, documents, 2, 4);
    for (std::size_t lane = 0; lane < documents.size(); ++lane) {
      GeometryObserver alone(small_options(), queries, {documents[lane].id});
      show(alone, {documents[lane]}, 2);
      const std::size_t cells = alone.results().means().size();
      for (std::size_t i = 0; i < cells; ++i) {
        const Separability& expected = alone.results().means()[i];
        ASSERT_TRUE(same_bits(together.results().means()[lane * cells + i], expected));
        ASSERT_TRUE(same_bits(threaded.results().means()[lane * cells + i], expected));
        ASSERT_TRUE(same_bits(more_rows.results().means()[lane * cells + i], expected));
      }
    }
  }
}

}  // namespace
}  // namespace toplens
