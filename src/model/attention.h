#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <toplens/array_view.h>
#include <toplens/observer.h>

#include "base/aligned_vector.h"
#include "kernels/attention_rows.h"
#include "kernels/matmul.h"
#include "model/lane.h"
#include "model/model_config.h"
#include "model/rope_table.h"

namespace toplens {

/// What attention reads of a lane in one layer: projections before rotation, [length, heads *
/// head_dim].
struct AttentionInput {
  int layer = 0;
  int lane = 0;
  MatrixView<const float> query, key, value;
  const Treatment* treatment = nullptr;  ///< of the lane; none: untreated
  std::uint64_t document = 0;            ///< Lane::document
};

/// A head met infinity or NaN, before any observer saw it.
struct NonFiniteAttention {
  const char* what = "";  ///< "scores of head" or "values of kv head"
  int head = 0;
  int position = 0;
};

/// One worker's attention: all query heads of one kv head of one lane, one head after the other.
/// The attention of one head is the largest object alive.
class HeadAttention {
 public:
  /// `observers` are shown every head; they outlive this object.
  HeadAttention(const ModelConfig& config, const RopeTable& rope,
                std::span<AttentionObserver* const> observers, int worker);

  /// Computes the group of query heads that share `kv_head` and stores each head's output at its
  /// columns of `output` (rows from first_row on). Returns the number of treated rows that no
  /// weight is left of (RowTreatment). Throws NonFiniteAttention.
  std::size_t run(const AttentionInput& input, int kv_head, InputMatrix& output,
                  std::size_t first_row);

 private:
  /// Rotates and packs the keys, packs the values.
  void pack(MatrixView<const float> keys, MatrixView<const float> values, int kv_head);
  MatrixView<float> head_output(std::size_t rows);
  std::size_t run_head(const AttentionInput& input, HeadId head, int kv_head,
                       MatrixView<const float> values);
  void measure_norms(const Treatment* treatment, MatrixView<const float> values);
  void show(const AttentionInput& input, HeadId head, int kv_head, MatrixView<const float> values,
            std::size_t first_kept);

  const ModelConfig& config_;
  const RopeTable& rope_;
  std::span<AttentionObserver* const> observers_;
  int worker_;
  PackedColumns keys_, values_;
  AlignedVector<float> queries_;              ///< rotated, one query block
  AlignedVector<float> head_output_;          ///< of one head
  AlignedVector<float> rows_;                 ///< attention of one query block, where nobody looks
  AlignedVector<float> kept_;                 ///< the rows that observers see, [queries, length]
  std::vector<float> first_token_attention_;  ///< of every query of one head
  RowTreatment row_treatment_;
  std::vector<float> value_norms_;  ///< of the kv head; empty unless the treatment ranks by them
};

}  // namespace toplens
