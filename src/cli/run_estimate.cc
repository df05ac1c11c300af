#include "cli/run_estimate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/random.h"
#include "geometry/head_geometry.h"

namespace toplens {
namespace {

constexpr int kTimedQueries = 6;

template <typename Action>
double seconds_of(const Action& action) {
  const auto start = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

double estimate_geometry_seconds(const ModelConfig& config, const GeometryOptions& options,
                                 QuerySelection queries, int length) {
  Random random(1);
  const auto tokens = static_cast<std::size_t>(length);
  const auto head_dim = static_cast<std::size_t>(config.head_dim);
  std::vector<float> values(tokens * head_dim), attention(tokens);
  for (float& value : values) value = static_cast<float>(random.uniform() - 0.5);
  for (float& weight : attention) {
    weight = static_cast<float>(std::exp(6 * random.uniform()));  // as uneven as attention is
  }
  const float sum = std::accumulate(attention.begin(), attention.end(), 0.0f);
  for (float& weight : attention) weight /= sum;
  HeadGeometry geometry(options);
  std::vector<Separability> results(geometry.num_results());
  const auto measure = [&](int position, bool with_random) {
    GeometryQuery query;
    query.query = position;
    query.with_random = with_random;
    geometry.measure(query, std::span(attention).first(static_cast<std::size_t>(position) + 1),
                     results);
  };
  const int first = queries.first_query(length), last = length - 1, count = length - first;
  const int heads_per_kv_head = config.num_query_heads / config.num_kv_heads;
  const MatrixView<const float> view(values.data(), tokens, head_dim);
  const int random_queries = options.random_at_all_queries ? count : 1;
  const auto prepare = [&] {
    geometry.set_values(view, 0, heads_per_kv_head * (count - random_queries),
                        heads_per_kv_head * random_queries);
  };
  prepare();  // touches the memory
  const double preparing = seconds_of(prepare);
  measure(last, true);
  double per_head = seconds_of([&] { measure(last, true); });
  if (count > 1) {
    const int timed = std::min(kTimedQueries, count - 1);
    const double seconds = seconds_of([&] {
      for (int i = 0; i < timed; ++i) {
        measure(first + (2 * i + 1) * (count - 1) / (2 * timed), options.random_at_all_queries);
      }
    });
    per_head += seconds / timed * (count - 1);
  }
  return config.num_layers * (config.num_kv_heads * preparing + config.num_query_heads * per_head);
}

}  // namespace toplens
