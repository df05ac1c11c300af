#include "model/attention.h"

#include <algorithm>

#include "kernels/convert.h"
#include "kernels/rope.h"
#include "kernels/softmax.h"
#include "model/engine_plan.h"

namespace toplens {
namespace {

std::size_t index(int value) { return static_cast<std::size_t>(value); }

void grow(std::vector<float>& buffer, std::size_t size) {
  if (buffer.size() < size) buffer.resize(size);
}

}  // namespace

HeadAttention::HeadAttention(const ModelConfig& config, const RopeTable& rope,
                             std::span<AttentionObserver* const> observers, int worker)
    : config_(config), rope_(rope), observers_(observers), worker_(worker) {}

void HeadAttention::rotate(MatrixView<const float> from, std::vector<float>& to) const {
  const std::size_t head_dim = from.columns();
  grow(to, from.rows() * head_dim);
  for (std::size_t t = 0; t < from.rows(); ++t) {
    rotate_half(from.row(t), rope_.cosine(t), rope_.sine(t),
                std::span(to).subspan(t * head_dim, head_dim));
  }
}

void HeadAttention::run(const AttentionInput& input, int kv_head, InputMatrix& output,
                        std::size_t first_row) {
  const std::size_t head_dim = index(config_.head_dim);
  const std::size_t length = input.query.rows();
  const int group = config_.num_query_heads / config_.num_kv_heads;
  rotate(input.key.column_range(index(kv_head) * head_dim, head_dim), rotated_key_);
  const MatrixView<const float> values =
      input.value.column_range(index(kv_head) * head_dim, head_dim);
  for (std::size_t t = 0; t < length; ++t) {
    if (!all_finite(values.row(t))) {
      throw NonFiniteAttention{"values of kv head", kv_head, static_cast<int>(t)};
    }
  }
  grow(head_output_, length * head_dim);
  for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    run_head(input, {input.layer, head}, kv_head, values);
    for (std::size_t t = 0; t < length; ++t) {
      output.store(first_row + t, index(head) * head_dim,
                   std::span(head_output_).subspan(t * head_dim, head_dim));
    }
  }
}

void HeadAttention::run_head(const AttentionInput& input, HeadId head, int kv_head,
                             MatrixView<const float> values) {
  const std::size_t head_dim = index(config_.head_dim);
  const std::size_t length = input.query.rows();
  const std::size_t window = index(config_.layer_window[index(head.layer)]);
  rotate(input.query.column_range(index(head.query_head) * head_dim, head_dim), rotated_query_);
  const MatrixView<const float> queries(rotated_query_.data(), length, head_dim);
  const MatrixView<const float> keys(rotated_key_.data(), length, head_dim);
  const MatrixView<float> outputs(head_output_.data(), length, head_dim);

  // Whole blocks are kept, so that a block's arithmetic does not depend on who looks.
  std::size_t first_kept = length;
  for (const AttentionObserver* observer : observers_) {
    const int first = observer->queries().first_query(static_cast<int>(length));
    first_kept = std::min(first_kept, index(first) / kQueryBlock * kQueryBlock);
  }
  grow(kept_, (length - first_kept) * length);
  grow(scores_, kQueryBlock * length);

  for (std::size_t first = 0; first < length; first += kQueryBlock) {
    const std::size_t count = std::min(kQueryBlock, length - first);
    const std::size_t end = first + count;  // keys beyond are in no query's past
    const std::size_t begin = window > 0 && first + 1 > window ? first + 1 - window : 0;
    float* rows =
        first >= first_kept ? kept_.data() + (first - first_kept) * length : scores_.data();
    const MatrixView<float> block(rows, count, length);
    const MatrixView<float> scores = block.column_range(begin, end - begin);
    multiply_f32(queries.row_range(first, count), keys.row_range(begin, end - begin), true, scores);
    for (std::size_t r = 0; r < count; ++r) {
      const std::size_t t = first + r;
      const std::size_t visible = window > 0 && t + 1 > window ? t + 1 - window : 0;
      const std::span<float> row = block.row(r);
      if (!softmax_row(row.subspan(visible, t + 1 - visible),
                       static_cast<float>(config_.query_scale),
                       static_cast<float>(config_.attention_softcap))) {
        throw NonFiniteAttention{"scores of head", head.query_head, static_cast<int>(t)};
      }
      std::fill(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(visible), 0.0f);
      std::fill(row.begin() + static_cast<std::ptrdiff_t>(t + 1), row.end(), 0.0f);
    }
    multiply_f32(scores, values.row_range(begin, end - begin), false,
                 outputs.row_range(first, count));
  }
  if (!observers_.empty()) show(input, head, kv_head, values, first_kept);
}

void HeadAttention::show(const AttentionInput& input, HeadId head, int kv_head,
                         MatrixView<const float> values, std::size_t first_kept) {
  const std::size_t length = input.query.rows();
  const std::size_t head_dim = index(config_.head_dim);
  const MatrixView<const float> kept(kept_.data(), length - first_kept, length);
  const MatrixView<const float> outputs(head_output_.data(), length, head_dim);
  for (AttentionObserver* observer : observers_) {
    HeadView view;
    view.head = head;
    view.kv_head = kv_head;
    view.lane = input.lane;
    view.length = static_cast<int>(length);
    view.window = config_.layer_window[index(head.layer)];
    view.first_query = observer->queries().first_query(view.length);
    const std::size_t first = index(view.first_query);
    view.attention = kept.row_range(first - first_kept, length - first);
    view.values = values;
    view.output = outputs.row_range(first, length - first);
    observer->observe(view, worker_);
  }
}

}  // namespace toplens
