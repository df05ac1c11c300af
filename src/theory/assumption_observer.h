#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <toplens/observer.h>

#include "selection/ranking.h"
#include "statistics/effective_rank.h"
#include "theory/assumption_records.h"
#include "theory/value_similarity.h"

namespace toplens {

struct AssumptionOptions {
  std::vector<int> set_sizes = {1, 2, 4, 8, 16, 32, 64, 128, 256};
  std::vector<Ranking> rankings = {Ranking::attention, Ranking::contribution, Ranking::random};
  std::uint64_t seed = 2027;
  /// Effective ranks are recorded of documents with identities below this: it costs as much as all
  /// the rest, and varies little.
  std::uint64_t effective_rank_documents = 8;
};

/// Records of a pass over documents of `length` tokens (theory/assumption_records.h).
RecordedShape recorded_shape(const AssumptionOptions& options, const ObservedPass& pass);

/// Leaves of every document and head what the theory needs, from the final query, while the model
/// runs. Results depend neither on the workers nor on which lanes share a pass.
class AssumptionObserver : public AttentionObserver {
 public:
  /// `documents[lane]` is the identity of the lane's document. All lanes of a pass are of one
  /// length.
  AssumptionObserver(AssumptionOptions options, std::vector<std::uint64_t> documents);

  QuerySelection queries() const override { return QuerySelection::last(); }
  void begin(const ObservedPass& pass) override;
  void observe(const HeadView& view, int worker) override;

  /// Complete after the pass.
  const AssumptionRecords& records() const { return records_; }

  /// Memory of one worker, for plans.
  static std::uint64_t bytes_per_worker(std::size_t length, std::size_t head_dim,
                                        std::size_t set_sizes);

 private:
  /// What one worker keeps between the query heads of one kv head, and its scratch memory.
  struct Worker {
    int lane = -1;
    int layer = -1;
    int kv_head = -1;
    ValueSimilarity similarity;
    EffectiveRank effective_rank;
    TokenRanker ranker;
    std::vector<double> contributions;
    std::vector<std::uint32_t> ranks;
    std::vector<double> aggregate, aggregate_without_sink;
    std::vector<float> directions;  // [size, head_dim], s / |s|
    std::vector<float> cosines;     // [size, token]
    std::vector<std::size_t> duplicates;
  };

  void record_values(const HeadView& view, Worker& worker);
  void record_ranking(const HeadView& view, Worker& worker, std::size_t ranking,
                      MatrixView<const float> values, std::span<const float> weights);
  void record_near_duplicates(Worker& worker, std::size_t sizes, std::size_t cell);

  AssumptionOptions options_;
  std::vector<std::uint64_t> documents_;
  AssumptionRecords records_;
  std::vector<Worker> workers_;
};

}  // namespace toplens
