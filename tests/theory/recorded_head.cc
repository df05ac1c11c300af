#include "theory/recorded_head.h"

#include <cmath>
#include <utility>

#include "base/random.h"
#include "kernels/normal_draws.h"

namespace toplens::testing {

AssumptionRecords record(const std::vector<HeadSample>& documents, std::size_t head_dim,
                         const AssumptionOptions& options, int window) {
  const std::size_t length = documents.front().attention.size();
  ObservedPass pass;
  pass.num_layers = pass.num_query_heads = pass.num_kv_heads = pass.num_workers = 1;
  pass.head_dim = static_cast<int>(head_dim);
  pass.lane_lengths.assign(documents.size(), static_cast<int>(length));
  std::vector<std::uint64_t> identities(documents.size());
  for (std::size_t d = 0; d < documents.size(); ++d) identities[d] = d;
  AssumptionObserver observer(options, identities);
  observer.begin(pass);
  for (std::size_t d = 0; d < documents.size(); ++d) {
    HeadView view;
    view.lane = static_cast<int>(d);
    view.length = static_cast<int>(length);
    view.window = window;
    view.first_query = view.length - 1;
    view.attention = {documents[d].attention.data(), 1, length};
    view.values = {documents[d].values.data(), length, head_dim};
    observer.observe(view, 0);
  }
  observer.end();
  return observer.records();
}

std::vector<HeadSample> draw_documents(const GenerativeHead& head, std::size_t documents) {
  std::vector<HeadSample> samples;
  for (std::size_t d = 0; d < documents; ++d) {
    DrawnDocument drawn = head.draw(d);
    samples.push_back({std::move(drawn.attention), std::move(drawn.values)});
  }
  return samples;
}

std::vector<HeadSample> with_weights(const std::vector<std::vector<double>>& weights,
                                     std::size_t head_dim, std::uint64_t seed) {
  std::vector<HeadSample> samples;
  for (std::size_t d = 0; d < weights.size(); ++d) {
    HeadSample sample;
    sample.attention.assign(weights[d].begin(), weights[d].end());
    sample.values.resize(weights[d].size() * head_dim);
    Random random(seed, {d});
    normal_draws(random, sample.values);
    for (std::size_t i = 0; i < weights[d].size(); ++i) {
      float* value = sample.values.data() + i * head_dim;
      double square = 0.0;
      for (std::size_t c = 0; c < head_dim; ++c) square += double{value[c]} * value[c];
      const auto scale = static_cast<float>(1.0 / std::sqrt(square));
      for (std::size_t c = 0; c < head_dim; ++c) value[c] *= scale;
    }
    samples.push_back(std::move(sample));
  }
  return samples;
}

}  // namespace toplens::testing
