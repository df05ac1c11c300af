#include "model/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/convert.h"
#include "kernels/rope.h"
#include "model/engine_plan.h"

namespace toplens {
namespace {

std::size_t index(int value) { return static_cast<std::size_t>(value); }

// Grows only: first touch of fresh memory is slow on virtual machines.
void grow(AlignedVector<float>& buffer, std::size_t size) {
  if (buffer.size() < size) buffer.resize(size);
}

static_assert(kQueryBlock % kAttentionRows == 0);

}  // namespace

HeadAttention::HeadAttention(const ModelConfig& config, const RopeTable& rope,
                             std::span<AttentionObserver* const> observers, int worker)
    : config_(config), rope_(rope), observers_(observers), worker_(worker) {}

std::size_t HeadAttention::run(const AttentionInput& input, int kv_head, InputMatrix& output,
                               std::size_t first_row) {
  const std::size_t head_dim = index(config_.head_dim);
  const std::size_t length = input.query.rows();
  const int group = config_.num_query_heads / config_.num_kv_heads;
  const MatrixView<const float> values =
      input.value.column_range(index(kv_head) * head_dim, head_dim);
  pack(input.key.column_range(index(kv_head) * head_dim, head_dim), values, kv_head);
  measure_norms(input.treatment, values);
  grow(head_output_, padded_attention_rows(length) * head_output_stride(head_dim));
  std::size_t without_mass = 0;
  for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    without_mass += run_head(input, {input.layer, head}, kv_head, values);
    const MatrixView<const float> outputs = head_output(length);
    for (std::size_t t = 0; t < length; ++t) {
      output.store(first_row + t, index(head) * head_dim, outputs.row(t));
    }
  }
  return without_mass;
}

void HeadAttention::measure_norms(const Treatment* treatment, MatrixView<const float> values) {
  value_norms_.clear();
  if (treatment == nullptr || treatment->ranking() != Ranking::contribution) return;
  for (std::size_t t = 0; t < values.rows(); ++t) {
    double squares = 0;
    for (const float component : values.row(t)) squares += double{component} * component;
    // An infinite norm would make NaN of a weight of 0.
    value_norms_.push_back(static_cast<float>(
        std::min(std::sqrt(squares), double{std::numeric_limits<float>::max()})));
  }
}

void HeadAttention::pack(MatrixView<const float> keys, MatrixView<const float> values,
                         int kv_head) {
  const std::size_t length = keys.rows(), head_dim = keys.columns();
  keys_.reset(head_dim, length);
  values_.reset(length, head_dim);
  grow(queries_, kQueryBlock * head_dim);
  const std::span<float> rotated = std::span(queries_).first(head_dim);
  for (std::size_t t = 0; t < length; ++t) {
    if (!all_finite(values.row(t))) {
      throw NonFiniteAttention{"values of kv head", kv_head, static_cast<int>(t)};
    }
    values_.set_row(t, values.row(t));
    rotate_half(keys.row(t), rope_.cosine(t), rope_.sine(t), rotated);
    keys_.set_column(t, rotated);
  }
}

MatrixView<float> HeadAttention::head_output(std::size_t rows) {
  const std::size_t head_dim = index(config_.head_dim);
  return {head_output_.data(), rows, head_dim, head_output_stride(head_dim)};
}

std::size_t HeadAttention::run_head(const AttentionInput& input, HeadId head, int kv_head,
                                    MatrixView<const float> values) {
  const std::size_t head_dim = index(config_.head_dim);
  const std::size_t length = input.query.rows();
  const std::size_t stride = attention_row_stride(length);
  const std::size_t window = index(config_.layer_window[index(head.layer)]);
  const ScoreScale scale{static_cast<float>(config_.query_scale),
                         static_cast<float>(config_.attention_softcap)};
  const MatrixView<const float> from =
      input.query.column_range(index(head.query_head) * head_dim, head_dim);
  const MatrixView<float> outputs = head_output(padded_attention_rows(length));

  // Whole blocks are kept, so that blocks are cut in the same way whoever looks.
  std::size_t first_kept = length;
  for (const AttentionObserver* observer : observers_) {
    const QuerySelection wanted = observer->queries_of_lane(input.lane);
    if (wanted.is_none()) continue;
    const int first = wanted.first_query(static_cast<int>(length));
    first_kept = std::min(first_kept, index(first) / kQueryBlock * kQueryBlock);
  }
  first_token_attention_.resize(length);
  grow(kept_, padded_attention_rows(length - first_kept) * stride);
  grow(rows_, kQueryBlock * stride);

  std::size_t without_mass = 0;
  for (std::size_t first = 0; first < length; first += kQueryBlock) {
    const QueryRows block{first, std::min(kQueryBlock, length - first), window};
    const std::size_t padded = padded_attention_rows(block.count);
    const MatrixView<float> queries(queries_.data(), padded, head_dim);
    for (std::size_t r = 0; r < block.count; ++r) {
      rotate_half(from.row(first + r), rope_.cosine(first + r), rope_.sine(first + r),
                  queries.row(r));
    }
    float* at = first >= first_kept ? kept_.data() + (first - first_kept) * stride : rows_.data();
    const MatrixView<float> rows(at, padded, length, stride);
    const std::size_t done = attention_rows(block, queries, keys_, scale, rows);
    if (done < block.count) {
      throw NonFiniteAttention{"scores of head", head.query_head, static_cast<int>(first + done)};
    }
    if (input.treatment != nullptr) {
      without_mass +=
          row_treatment_.apply(*input.treatment, head, input.document, block, value_norms_, rows);
    }
    for (std::size_t r = 0; r < block.count; ++r) first_token_attention_[first + r] = rows(r, 0);
    weighted_value_sums(block, rows, values_, outputs.row_range(first, padded));
  }
  if (!observers_.empty()) show(input, head, kv_head, values, first_kept);
  return without_mass;
}

void HeadAttention::show(const AttentionInput& input, HeadId head, int kv_head,
                         MatrixView<const float> values, std::size_t first_kept) {
  const std::size_t length = input.query.rows();
  const MatrixView<const float> kept(kept_.data(), length - first_kept, length,
                                     attention_row_stride(length));
  const MatrixView<const float> outputs = head_output(length);
  for (AttentionObserver* observer : observers_) {
    const QuerySelection wanted = observer->queries_of_lane(input.lane);
    if (wanted.is_none()) continue;
    HeadView view;
    view.head = head;
    view.kv_head = kv_head;
    view.lane = input.lane;
    view.length = static_cast<int>(length);
    view.window = config_.layer_window[index(head.layer)];
    view.first_query = wanted.first_query(view.length);
    const std::size_t first = index(view.first_query);
    view.attention = kept.row_range(first - first_kept, length - first);
    view.values = values;
    view.output = outputs.row_range(first, length - first);
    view.first_token_attention = first_token_attention_;
    view.all_outputs = outputs;
    observer->observe(view, worker_);
  }
}

}  // namespace toplens
