#include "selection/ranking.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <numeric>
#include <utility>

#include "base/random.h"

namespace toplens {

namespace {

/// Unsigned integers in the order of the floats; both zeros are the same.
std::uint32_t sortable(float score) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(score + 0.0f);
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}

template <typename Item, typename Before>
void order_first(std::vector<Item>& items, std::size_t count, Before before) {
  const auto middle = items.begin() + static_cast<std::ptrdiff_t>(count);
  if (count < items.size()) std::nth_element(items.begin(), middle, items.end(), before);
  std::sort(items.begin(), middle, before);
}

}  // namespace

std::span<const std::uint32_t> TokenRanker::by_score(std::span<const float> scores,
                                                     std::size_t count) {
  assert(count <= scores.size());
  // Score and index in one integer: the larger key goes first, and of equal scores the lower index.
  keys_.resize(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    keys_[i] = std::uint64_t{sortable(scores[i])} << 32 | ~static_cast<std::uint32_t>(i);
  }
  order_first(keys_, count, std::greater<std::uint64_t>());
  order_.resize(count);
  for (std::size_t i = 0; i < count; ++i) order_[i] = ~static_cast<std::uint32_t>(keys_[i]);
  return order_;
}

std::span<const std::uint32_t> TokenRanker::by_score(std::span<const double> scores,
                                                     std::size_t count) {
  assert(count <= scores.size());
  scored_.resize(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    scored_[i] = {scores[i], static_cast<std::uint32_t>(i)};
  }
  order_first(scored_, count, [](const Scored& a, const Scored& b) {
    return a.score != b.score ? a.score > b.score : a.token < b.token;
  });
  order_.resize(count);
  for (std::size_t i = 0; i < count; ++i) order_[i] = scored_[i].token;
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
