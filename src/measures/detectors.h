#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <toplens/array_view.h>
#include <toplens/observer.h>

#include "measures/measure_records.h"

namespace toplens {

/// `bos` where there is one, then `tokens` random ids below vocab_size, then the same ids again.
/// The same seed and sequence number give the same ids. BOS is not drawn.
std::vector<std::int32_t> repeated_random_tokens(std::uint64_t seed, std::uint64_t sequence,
                                                 std::size_t tokens, int vocab_size,
                                                 std::optional<std::int32_t> bos);

/// Attention mass on each detector's pattern over total mass (the "mul" score of TransformerLens'
/// head_detector), all queries of one sequence. Query i attends to key j <= i: previous token: j =
/// i - 1; duplicate token: the same token at j < i; induction: j follows an earlier occurrence of
/// token i. `attention` is [length, length].
std::array<double, kNumDetectors> detector_scores(MatrixView<const float> attention,
                                                  std::span<const std::int32_t> tokens);

/// Scores of the sequences that go through the model as lanes of their own.
class DetectorObserver : public AttentionObserver {
 public:
  /// Of lane k: its tokens, and its row in `records`, which must outlive the pass.
  DetectorObserver(std::vector<std::span<const std::int32_t>> sequences,
                   std::vector<std::size_t> rows, MeasureRecords& records);

  QuerySelection queries() const override { return QuerySelection::all(); }
  void observe(const HeadView& view, int worker) override;

 private:
  std::vector<std::span<const std::int32_t>> sequences_;
  std::vector<std::size_t> rows_;
  MeasureRecords& records_;
};

}  // namespace toplens
