#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <toplens/array_view.h>

namespace toplens {

/// One query head of one layer; both count from 0.
struct HeadId {
  int layer = 0;
  int query_head = 0;
};

/// The query positions that an observer wants to see: a tail of each document.
class QuerySelection {
 public:
  static QuerySelection last() { return QuerySelection(1); }
  static QuerySelection tail(int count) { return QuerySelection(count); }
  static QuerySelection all() { return QuerySelection(kAll); }
  static QuerySelection none() { return QuerySelection(0); }

  /// Position of the first selected query in a document of `length` tokens.
  int first_query(int length) const {
    return count_ == kAll || count_ >= length ? 0 : length - count_;
  }
  bool is_all() const { return count_ == kAll; }
  bool is_last() const { return count_ == 1; }
  bool is_none() const { return count_ == 0; }
  /// The K of tail:K; 1 for the final query, 0 for none.
  int count() const { return count_; }

 private:
  static constexpr int kAll = -1;
  explicit QuerySelection(int count) : count_(count) {}
  int count_ = 1;
};

/// What a forward pass is about to show: the same for all observers of the pass.
struct ObservedPass {
  int num_layers = 0;
  int num_query_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int num_workers = 0;            ///< observe() is called with worker in [0, num_workers)
  std::vector<int> lane_lengths;  ///< tokens of each lane; HeadView::lane indexes it
};

/// One head's attention over one lane (a document under one treatment). The views are valid during
/// the call only. Visible to the query at position t are the tokens first_visible(t) .. t.
struct HeadView {
  HeadId head;
  int kv_head = 0;
  int lane = 0;
  int length = 0;  ///< tokens of the lane
  int window =
      0;  ///< sliding window: a query sees itself and the window - 1 tokens before it; 0: all
  int first_query = 0;  ///< row r of attention and output belongs to the query at first_query + r
  MatrixView<const float>
      attention;                   ///< [queries, length], each row sums to 1, 0 where not visible
  MatrixView<const float> values;  ///< [length, head_dim], of the kv head
  MatrixView<const float> output;  ///< [queries, head_dim], before the output projection
  /// Of every query of the lane, whatever the observer asked for: its weight on token 0 (0 where
  /// that is not visible), and its output [length, head_dim].
  std::span<const float> first_token_attention = {};
  MatrixView<const float> all_outputs = {};

  int first_visible(int query) const {
    return window > 0 && query + 1 > window ? query + 1 - window : 0;
  }
};

/// Sees every head of a forward pass while its attention exists; nothing is stored for it.
///
/// observe() is called concurrently for different (lane, kv head) pairs. The query heads of one kv
/// head of one lane and layer come one after the other on one worker, in increasing order, so what
/// depends on the values alone can be kept per worker between these calls. Layers come in order.
class AttentionObserver {
 public:
  virtual ~AttentionObserver() = default;
  virtual QuerySelection queries() const = 0;
  /// What it wants to see of one lane, asked after begin(): no more than queries(). A lane of which
  /// it wants none is not shown to it.
  virtual QuerySelection queries_of_lane(int /*lane*/) const { return queries(); }
  virtual void begin(const ObservedPass& /*pass*/) {}
  virtual void observe(const HeadView& view, int worker) = 0;
  virtual void end() {}
};

}  // namespace toplens
