#pragma once

#include <cstdint>
#include <vector>

#include <toplens/observer.h>

namespace toplens {

/// What the attention rows of all layers, heads and queries have to keep, at its worst.
struct AttentionFacts {
  std::uint64_t rows = 0;
  /// |sum of a row - 1|, infinity where a row is not finite.
  double largest_sum_error = 0.0;
  HeadId sum_error_head;
  int sum_error_query = 0;
  /// Weight on tokens that the query must not see: later ones, and those before its window.
  double largest_outside = 0.0;
  HeadId outside_head;
  int outside_query = 0;
  /// Rows whose window is full, in layers with a sliding window, and those of them that put
  /// weight on the oldest token of the window (the window is not shorter than it should be).
  std::uint64_t full_window_rows = 0;
  std::uint64_t rows_at_edge = 0;
  /// log(largest / smallest weight) of a row over what it sees: at most twice the soft-cap of the
  /// scores. Infinity where a visible token has weight 0.
  double largest_log_ratio = 0.0;
};

/// Looks at every row of every head and lane.
class AttentionFactsObserver : public AttentionObserver {
 public:
  QuerySelection queries() const override { return QuerySelection::all(); }
  void begin(const ObservedPass& pass) override;
  void observe(const HeadView& view, int worker) override;
  /// Adds what the pass showed to facts().
  void end() override;

  const AttentionFacts& facts() const { return facts_; }

 private:
  std::vector<AttentionFacts> of_workers_;
  AttentionFacts facts_;
};

}  // namespace toplens
