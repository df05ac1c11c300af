#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <toplens/observer.h>

#include "measures/measure_records.h"
#include "measures/query_measures.h"

namespace toplens {

struct MeasureOptions {
  std::vector<int> set_sizes = {1, 2, 4, 8, 16, 32, 64, 128, 256};
  SignatureConditions conditions;
  /// Effective ranks are of documents with identities below this: two of them cost as much as all
  /// the rest of a head, and they vary little.
  std::uint64_t effective_rank_documents = 4;
  double sink_rate_threshold = 0.3;
};

/// Leaves signature and measures of every document and head in records, for the documents at one
/// context length: at the selected queries, and at the final one where more are selected. Results
/// depend neither on the workers nor on which lanes share a pass.
class MeasureObserver : public AttentionObserver {
 public:
  /// `documents[lane]` is the identity of the lane's document; its row in `records` is the lane.
  /// `setting` is the selected queries' place among the records' settings, the final query's is the
  /// next. `records` must outlive the pass.
  MeasureObserver(MeasureOptions options, QuerySelection queries,
                  std::vector<std::uint64_t> documents, MeasureRecords& records,
                  std::size_t setting);

  QuerySelection queries() const override { return queries_; }
  void begin(const ObservedPass& pass) override;
  void observe(const HeadView& view, int worker) override;

  static std::uint64_t bytes_per_worker(int length, int head_dim, int heads_per_kv_head,
                                        QuerySelection queries);

 private:
  /// Sums over queries, apart for those that have a signature.
  struct Sums {
    std::array<std::array<double, kNumMeasures>, 2> values{};
    std::array<std::array<int, kNumMeasures>, 2> counts{};
    std::vector<std::array<double, kNumSizeMeasures>> by_size;
    std::vector<std::array<int, kNumSizeMeasures>> size_counts;
    int defined = 0;

    explicit Sums(std::size_t set_sizes) : by_size(set_sizes), size_counts(set_sizes) {}
    void add(const QueryMeasures& query);
  };

  /// What one worker keeps between the query heads of one kv head.
  struct Worker {
    Worker(const std::vector<int>& set_sizes, const SignatureConditions& conditions)
        : measures(set_sizes, conditions) {}
    HeadMeasures measures;
    int lane = -1, layer = -1, kv_head = -1;
  };

  void set_values(Worker& worker, const HeadView& view) const;
  void store(const Sums& sums, SignatureReason final_reason, const QueryMeasures& of_values,
             const HeadView& view, double output_rank, std::size_t setting);

  MeasureOptions options_;
  QuerySelection queries_;
  std::vector<std::uint64_t> documents_;
  MeasureRecords& records_;
  std::size_t setting_;
  int heads_per_kv_head_ = 1;
  std::vector<Worker> workers_;
};

}  // namespace toplens
