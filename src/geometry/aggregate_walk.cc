#include "geometry/aggregate_walk.h"

#include <algorithm>
#include <cassert>

namespace toplens {

void AggregateWalk::set_values(MatrixView<const float> values, std::size_t window,
                               WalkMethod method) {
  panels_.assign(values);
  method_ = method;
  if (method == WalkMethod::gram) {
    gram_.assign(panels_, window);
  } else {
    rows_.resize(values.rows() * values.columns());
    for (std::size_t i = 0; i < values.rows(); ++i) {
      std::copy(values.row(i).begin(), values.row(i).end(), rows_.data() + i * values.columns());
    }
  }
  products_stride_ = panels_.panels() * kPanelColumns + kLaneBlock;
}

void AggregateWalk::start(std::size_t first_visible, std::size_t visible,
                          std::span<const std::uint32_t> order, const double* weights) {
  assert(first_visible + visible <= panels_.count());
  first_visible_ = first_visible;
  visible_ = visible;
  order_ = order;
  weights_ = weights;
  walked_ = 0;
  if (method_ == WalkMethod::gram) {
    running_.assign(padded_to_lanes(visible), 0.0);
  } else {
    aggregate_.assign(panels_.dimension(), 0.0);
  }
}

MatrixView<const double> AggregateWalk::advance(std::span<const std::size_t> set_sizes) {
  assert(set_sizes.size() <= kMaxSizes);
  products_.resize(std::max(products_.size(), set_sizes.size() * products_stride_));
  const std::size_t columns = padded_to_lanes(visible_);
  if (method_ == WalkMethod::gram) {
    advance_on_gram(set_sizes);
    return {products_.data(), set_sizes.size(), columns, products_stride_};
  }
  advance_on_aggregates(set_sizes);
  return {products_.data() + first_visible_ % kPanelColumns, set_sizes.size(), columns,
          products_stride_};
}

void AggregateWalk::advance_on_gram(std::span<const std::size_t> set_sizes) {
  for (std::size_t n = 0; n < set_sizes.size(); ++n) {
    assert(set_sizes[n] >= walked_ && set_sizes[n] <= order_.size());
    // theory.md (7), second line, without the factor 2 a_j.
    accumulate_rows(gram_.view(), first_visible_, order_.subspan(walked_, set_sizes[n] - walked_),
                    weights_, running_.size(), running_.data());
    walked_ = set_sizes[n];
    std::copy(running_.begin(), running_.end(), products_.data() + n * products_stride_);
  }
}

void AggregateWalk::advance_on_aggregates(std::span<const std::size_t> set_sizes) {
  const std::size_t dimension = panels_.dimension();
  aggregates_.reset(set_sizes.size(), dimension);
  for (std::size_t n = 0; n < set_sizes.size(); ++n) {
    assert(set_sizes[n] >= walked_ && set_sizes[n] <= order_.size());
    for (; walked_ < set_sizes[n]; ++walked_) {
      const std::size_t token = order_[walked_];
      const double weight = weights_[token];
      const float* value = rows_.data() + (first_visible_ + token) * dimension;
      for (std::size_t c = 0; c < dimension; ++c) aggregate_[c] += weight * double{value[c]};
    }
    for (std::size_t c = 0; c < dimension; ++c) aggregates_(n, c) = aggregate_[c];
  }
  const std::size_t first_panel = first_visible_ / kPanelColumns;
  const std::size_t last_panel = (first_visible_ + visible_ - 1) / kPanelColumns;
  for (std::size_t p = first_panel; p <= last_panel; ++p) {
    panel_products(aggregates_.panel(0), set_sizes.size(), panels_.panel(p), dimension,
                   products_.data() + (p - first_panel) * kPanelColumns, products_stride_);
  }
}

}  // namespace toplens
