#include "intervention/allocation.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>
#include <set>

namespace toplens {
namespace {

struct Point {
  int size;
  double increase;
};

/// The lower convex hull from the smallest size to the first that costs least.
std::vector<Point> falling_hull(const HeadLossCurves& curves, std::size_t head) {
  std::vector<Point> points;
  for (std::size_t i = 0; i < curves.sizes.size(); ++i) {
    points.push_back({curves.sizes[i], std::max(0.0, curves.increases[head][i])});
  }
  points.push_back({curves.num_visible, 0.0});
  std::vector<Point> hull;
  for (const Point& point : points) {
    const auto is_above = [&] {  // the last point lies on or above the line around it
      const Point& a = hull[hull.size() - 2];
      const Point& b = hull.back();
      return (b.increase - a.increase) * (point.size - a.size) >=
             (point.increase - a.increase) * (b.size - a.size);
    };
    while (hull.size() >= 2 && is_above()) hull.pop_back();
    hull.push_back(point);
  }
  while (hull.size() >= 2 && hull.back().increase >= hull[hull.size() - 2].increase) {
    hull.pop_back();
  }
  return hull;
}

/// Raises the smallest heads to a common level as far as the total allows.
void raise_smallest(std::int64_t total, int num_visible, std::vector<int>& kept) {
  const auto total_at = [&](int level) {
    std::int64_t sum = 0;
    for (const int size : kept) sum += std::max(size, level);
    return sum;
  };
  int low = 1, high = num_visible;
  while (low < high) {
    const int middle = low + (high - low + 1) / 2;
    if (total_at(middle) <= total) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  if (total_at(low) > total) return;
  for (int& size : kept) size = std::max(size, low);
}

}  // namespace

double HeadLossCurves::increase(std::size_t head, int kept) const {
  if (kept >= num_visible) return 0.0;
  const std::vector<double>& values = increases[head];
  const auto above = std::upper_bound(sizes.begin(), sizes.end(), kept);
  if (above == sizes.begin()) return values.front();
  const auto i = static_cast<std::size_t>(above - sizes.begin()) - 1;
  const double next_size = above == sizes.end() ? num_visible : *above;
  const double next = above == sizes.end() ? 0.0 : values[i + 1];
  return values[i] + (next - values[i]) * (kept - sizes[i]) / (next_size - sizes[i]);
}

double predicted_increase(const HeadLossCurves& curves, std::span<const int> kept) {
  double sum = 0;
  for (std::size_t head = 0; head < kept.size(); ++head) sum += curves.increase(head, kept[head]);
  return sum;
}

std::int64_t total_kept(std::span<const int> kept) {
  return std::accumulate(kept.begin(), kept.end(), std::int64_t{0});
}

std::vector<int> allocate_uniform(std::size_t num_heads, std::int64_t total, int num_visible) {
  const auto heads = static_cast<std::int64_t>(num_heads);
  const std::int64_t within = std::clamp<std::int64_t>(total, heads, heads * num_visible);
  const std::int64_t each = within / heads, left = within % heads;
  std::vector<int> kept;
  for (std::int64_t head = 0; head < heads; ++head) {
    const std::int64_t more = (head + 1) * left / heads - head * left / heads;
    kept.push_back(static_cast<int>(each + more));
  }
  return kept;
}

std::vector<int> allocate_in_proportion(std::span<const double> need, std::int64_t total,
                                        int num_visible) {
  const double least = *std::min_element(need.begin(), need.end());
  assert(least > 0);
  const auto at_scale = [&](double scale) {
    std::vector<int> kept;
    for (const double one : need) {
      kept.push_back(static_cast<int>(std::clamp<double>(std::round(scale * one), 1, num_visible)));
    }
    return kept;
  };
  double low = 0, high = num_visible / least;
  if (total_kept(at_scale(high)) <= total) return at_scale(high);
  for (int step = 0; step < 60; ++step) {
    const double middle = 0.5 * (low + high);
    (total_kept(at_scale(middle)) <= total ? low : high) = middle;
  }
  return at_scale(low);
}

SensitivityAllocator::SensitivityAllocator(const HeadLossCurves& curves)
    : num_heads_(curves.num_heads()),
      num_visible_(curves.num_visible),
      smallest_(curves.sizes.front()) {
  for (std::size_t head = 0; head < num_heads_; ++head) {
    const std::vector<Point> hull = falling_hull(curves, head);
    for (std::size_t i = 1; i < hull.size(); ++i) {
      const int tokens = hull[i].size - hull[i - 1].size;
      pieces_.push_back({head, tokens, (hull[i - 1].increase - hull[i].increase) / tokens});
    }
  }
  // A hull's own pieces become flatter, so they stay in their order.
  std::stable_sort(pieces_.begin(), pieces_.end(), [](const Piece& a, const Piece& b) {
    return a.saved_per_token > b.saved_per_token;
  });
}

std::vector<int> SensitivityAllocator::allocate(std::int64_t total) const {
  std::vector<int> kept(num_heads_, smallest_);
  std::int64_t left = total - total_kept(kept);
  for (const Piece& piece : pieces_) {
    if (left <= 0) return kept;
    const auto taken = static_cast<int>(std::min<std::int64_t>(left, piece.tokens));
    kept[piece.head] += taken;
    left -= taken;
  }
  raise_smallest(total, num_visible_, kept);
  return kept;
}

TotalSearch search_total(const std::map<std::int64_t, double>& evaluated, std::int64_t least,
                         std::int64_t most, double tolerance) {
  constexpr int kTotalsPerWave = 7;
  constexpr double kResolution = 1.01;
  TotalSearch search;
  if (evaluated.count(least) == 0) search.wanted.push_back(least);
  std::int64_t high = most, low = least;
  for (const auto& [total, change] : evaluated) {
    if (total >= most || change > tolerance) continue;
    high = total;
    break;
  }
  if (high == least) {
    search.total = least;
    return search;
  }
  for (const auto& [total, change] : evaluated) {
    if (total < high) low = std::max(low, total);
  }
  const auto low_size = static_cast<double>(low), high_size = static_cast<double>(high);
  if (search.wanted.empty() && (high - low <= 1 || high_size <= kResolution * low_size)) {
    search.total = high;
    return search;
  }
  std::set<std::int64_t> between;
  for (int i = 1; i <= kTotalsPerWave; ++i) {
    const double at = low_size * std::pow(high_size / low_size, i / (kTotalsPerWave + 1.0));
    const auto total = static_cast<std::int64_t>(std::llround(at));
    if (total > low && total < high) between.insert(total);
  }
  search.wanted.insert(search.wanted.end(), between.begin(), between.end());
  if (search.wanted.empty()) search.total = high;
  return search;
}

}  // namespace toplens
