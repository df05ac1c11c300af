#include "geometry/gram_walk.h"

#include <cassert>

namespace toplens {

void GramWalk::set_values(MatrixView<const float> values, std::size_t window) {
  panels_.assign(values);
  gram_.assign(panels_, window);
}

void GramWalk::start(std::size_t first_visible, std::size_t visible,
                     std::span<const std::uint32_t> order, const double* weights) {
  assert(first_visible + visible <= panels_.count());
  first_visible_ = first_visible;
  order_ = order;
  weights_ = weights;
  walked_ = 0;
  running_.assign(padded_to_lanes(visible), 0.0);
}

std::span<const double> GramWalk::advance(std::size_t set_size) {
  assert(set_size >= walked_ && set_size <= order_.size());
  // theory.md (7), second line, without the factor 2 a_j.
  accumulate_rows(gram_.view(), first_visible_, order_.subspan(walked_, set_size - walked_),
                  weights_, running_.size(), running_.data());
  walked_ = set_size;
  return running_;
}

std::uint64_t GramWalk::bytes(std::size_t tokens, std::size_t head_dim) {
  const std::uint64_t padded = tokens + kPanelColumns + kLaneBlock;
  return 8 * padded * (padded + head_dim + 1);
}

}  // namespace toplens
