#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <toplens/observer.h>

#include "geometry/head_geometry.h"
#include "geometry/separability.h"

namespace toplens {

/// Separability of every head of a pass: means over the selected queries of each lane.
class GeometryResults {
 public:
  GeometryResults() = default;
  GeometryResults(const GeometryOptions& options, std::size_t lanes, std::size_t layers,
                  std::size_t heads);

  std::size_t lanes() const { return lanes_; }
  std::size_t layers() const { return layers_; }
  std::size_t heads() const { return heads_; }
  std::size_t rankings() const { return rankings_; }
  std::size_t distances() const { return distances_; }
  std::size_t set_sizes() const { return set_sizes_; }

  /// The mean over the contributing queries, undefined where there is none. Indices of ranking,
  /// distance and set size follow the options.
  const Separability& at(std::size_t lane, std::size_t layer, std::size_t head, std::size_t ranking,
                         std::size_t distance, std::size_t set_size) const {
    return means_[cell(lane, layer, head, ranking, distance, set_size)];
  }
  /// Number of queries in that mean (the same for every distance).
  int num_queries(std::size_t lane, std::size_t layer, std::size_t head, std::size_t ranking,
                  std::size_t set_size) const {
    return num_queries_[query_cell(lane, layer, head, ranking, set_size)];
  }
  /// All means, [lane, layer, head, ranking, distance, set_size].
  const std::vector<Separability>& means() const { return means_; }

 private:
  friend class GeometryObserver;
  std::size_t cell(std::size_t lane, std::size_t layer, std::size_t head, std::size_t ranking,
                   std::size_t distance, std::size_t set_size) const {
    return ((((lane * layers_ + layer) * heads_ + head) * rankings_ + ranking) * distances_ +
            distance) *
               set_sizes_ +
           set_size;
  }
  std::size_t query_cell(std::size_t lane, std::size_t layer, std::size_t head, std::size_t ranking,
                         std::size_t set_size) const {
    return (((lane * layers_ + layer) * heads_ + head) * rankings_ + ranking) * set_sizes_ +
           set_size;
  }

  std::size_t lanes_ = 0, layers_ = 0, heads_ = 0;
  std::size_t rankings_ = 0, distances_ = 0, set_sizes_ = 0;
  std::vector<Separability> means_;
  std::vector<int> num_queries_;
};

/// Measures the geometry of every head while the model runs. Results depend neither on the workers
/// nor on which lanes share a pass: random rankings are keyed by the documents' identities.
class GeometryObserver : public AttentionObserver {
 public:
  /// `documents[lane]` is the identity of the lane's document. Throws Error for bad options.
  GeometryObserver(GeometryOptions options, QuerySelection queries,
                   std::vector<std::uint64_t> documents);

  /// What one worker keeps at most for lanes of `length` tokens.
  std::uint64_t bytes_per_worker(int length, int head_dim, int heads_per_kv_head) const;

  QuerySelection queries() const override { return queries_; }
  void begin(const ObservedPass& pass) override;
  void observe(const HeadView& view, int worker) override;

  /// Complete after the pass.
  const GeometryResults& results() const { return results_; }
  const GeometryOptions& options() const { return options_; }

 private:
  /// What one worker keeps between the query heads of one kv head.
  struct Worker {
    explicit Worker(const GeometryOptions& options) : geometry(options) {}
    HeadGeometry geometry;
    int lane = -1;
    int layer = -1;
    int kv_head = -1;
    std::vector<Separability> measured;
  };

  /// How many queries of a kv head's query heads are measured, without and with random rankings.
  struct QueryCounts {
    int plain = 0;
    int random = 0;
  };
  QueryCounts count_queries(int length, int heads_per_kv_head) const;
  void set_values(Worker& worker, const HeadView& view) const;

  GeometryOptions options_;
  QuerySelection queries_;
  std::vector<std::uint64_t> documents_;
  int heads_per_kv_head_ = 1;
  std::vector<Worker> workers_;
  GeometryResults results_;
};

}  // namespace toplens
