#include "observe/capture_observer.h"

#include <algorithm>
#include <cassert>
#include <span>

namespace toplens {
namespace {

void write_rows(NpyFloatWriter& writer, std::uint64_t first_element, MatrixView<const float> rows) {
  for (std::size_t r = 0; r < rows.rows(); ++r) {
    writer.write(first_element + r * rows.columns(), rows.row(r));
  }
}

}  // namespace

CaptureObserver::CaptureObserver(CaptureRequest request, std::filesystem::path directory)
    : request_(std::move(request)), directory_(std::move(directory)) {}

void CaptureObserver::begin(const ObservedPass& pass) {
  assert(pass.lane_lengths.size() == 1);
  heads_ = static_cast<std::uint64_t>(pass.num_query_heads);
  kv_heads_ = static_cast<std::uint64_t>(pass.num_kv_heads);
  head_dim_ = static_cast<std::uint64_t>(pass.head_dim);
  length_ = static_cast<std::uint64_t>(pass.lane_lengths.front());
  const std::uint64_t layers = request_.layers.size();
  const auto open = [&](const char* name, std::vector<std::uint64_t> shape) {
    return std::make_unique<NpyFloatWriter>(directory_ / name, std::move(shape));
  };
  if (request_.attention) attention_ = open("attention.npy", {layers, heads_, length_, length_});
  if (request_.values) values_ = open("values.npy", {layers, kv_heads_, length_, head_dim_});
  if (request_.head_output) {
    head_output_ = open("head_output.npy", {layers, heads_, length_, head_dim_});
  }
}

void CaptureObserver::observe(const HeadView& view, int /*worker*/) {
  const auto found =
      std::lower_bound(request_.layers.begin(), request_.layers.end(), view.head.layer);
  if (found == request_.layers.end() || *found != view.head.layer) return;
  const auto layer = static_cast<std::uint64_t>(found - request_.layers.begin());
  const auto head = static_cast<std::uint64_t>(view.head.query_head);
  const auto kv_head = static_cast<std::uint64_t>(view.kv_head);
  const std::uint64_t row = (layer * heads_ + head) * length_;
  if (attention_) write_rows(*attention_, row * length_, view.attention);
  if (head_output_) write_rows(*head_output_, row * head_dim_, view.output);
  const bool first_of_group = head == kv_head * (heads_ / kv_heads_);
  if (values_ && first_of_group) {
    write_rows(*values_, (layer * kv_heads_ + kv_head) * length_ * head_dim_, view.values);
  }
}

void CaptureObserver::finish() {
  if (attention_) attention_->finish();
  if (values_) values_->finish();
  if (head_output_) head_output_->finish();
}

}  // namespace toplens
