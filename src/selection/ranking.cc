#include "selection/ranking.h"

#include <cassert>
#include <numeric>
#include <utility>

#include "base/random.h"

namespace toplens {

std::span<const std::uint32_t> TokenRanker::by_score(std::span<const float> scores,
                                                     std::size_t count) {
  order_.resize(count);
  top_n_.select(scores, order_);
  return order_;
}

std::span<const std::uint32_t> TokenRanker::by_score(std::span<const double> scores,
                                                     std::size_t count) {
  order_.resize(count);
  top_n_.select(scores, order_);
  return order_;
}

std::span<const std::uint32_t> TokenRanker::at_random(std::uint64_t seed,
                                                      const RandomRankingKey& key,
                                                      std::size_t tokens, std::size_t count) {
  assert(count <= tokens);
  Random random(seed,
                {key.document, static_cast<std::uint64_t>(key.layer),
                 static_cast<std::uint64_t>(key.query_head), static_cast<std::uint64_t>(key.query),
                 static_cast<std::uint64_t>(key.repeat)});
  order_.resize(tokens);
  std::iota(order_.begin(), order_.end(), 0u);
  for (std::size_t i = 0; i < count; ++i) {
    std::swap(order_[i], order_[i + random.below(tokens - i)]);
  }
  return std::span<const std::uint32_t>(order_).first(count);
}

std::span<const std::uint32_t> TokenRanker::by_position(int first_visible, std::size_t tokens,
                                                        std::size_t count) {
  assert(count <= tokens);
  order_.clear();
  if (first_visible == 0 && count > 0) order_.push_back(0);
  for (std::size_t back = 1; order_.size() < count; ++back) {
    order_.push_back(static_cast<std::uint32_t>(tokens - back));
  }
  return order_;
}

}  // namespace toplens
