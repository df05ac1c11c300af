#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/name_table.h"

namespace toplens {

/// How a total of kept tokens is given to the heads.
enum class AllocationRule {
  uniform,     ///< every head the same
  geometric,   ///< in proportion to what selectivity and F say (head_need.h)
  sensitivity  ///< where a token buys most loss, by each head's measured loss curve
};

inline constexpr std::array<NamedKind<AllocationRule>, 3> kAllocationNames = {{
    {AllocationRule::uniform, "uniform"},
    {AllocationRule::geometric, "geometric"},
    {AllocationRule::sensitivity, "sensitivity"},
}};

inline std::string_view name(AllocationRule rule) { return name_in(kAllocationNames, rule); }
/// Throws Error listing the valid names.
inline AllocationRule parse_allocation(std::string_view text) {
  return parse_name(kAllocationNames, "allocation rule", text);
}

/// Relative loss increase where one head alone keeps N tokens, measured at a few N. Keeping all
/// num_visible tokens costs nothing.
struct HeadLossCurves {
  int num_visible = 0;
  std::vector<int> sizes;                      ///< increasing, below num_visible
  std::vector<std::vector<double>> increases;  ///< [head][size]

  std::size_t num_heads() const { return increases.size(); }
  /// Between the sizes by straight lines; below the smallest, its value.
  double increase(std::size_t head, int kept) const;
};

/// The sum of the heads' own increases: what a budget would cost if heads did not interact.
double predicted_increase(const HeadLossCurves& curves, std::span<const int> kept);

std::int64_t total_kept(std::span<const int> kept);

/// The same for every head, at least 1 and at most num_visible. What is left of a total that does
/// not divide gives one more token to as many heads, spread evenly over the model.
std::vector<int> allocate_uniform(std::size_t num_heads, std::int64_t total, int num_visible);

/// In proportion to `need` (> 0), each from 1 to num_visible: the greatest scale whose total is
/// within `total`.
std::vector<int> allocate_in_proportion(std::span<const double> need, std::int64_t total,
                                        int num_visible);

/// Spends tokens where they lower the sum of the increases most: a knapsack, solved by taking the
/// steepest pieces of the curves' lower convex hulls first (the optimum, but for the last piece,
/// which is taken in part). A decrease of the loss counts as none. What is left when every head
/// costs nothing raises the smallest heads.
class SensitivityAllocator {
 public:
  explicit SensitivityAllocator(const HeadLossCurves& curves);
  /// At least the smallest measured size for each head, also where `total` is less.
  std::vector<int> allocate(std::int64_t total) const;

 private:
  struct Piece {
    std::size_t head;
    int tokens;
    double saved_per_token;
  };
  std::size_t num_heads_;
  int num_visible_;
  int smallest_;
  std::vector<Piece> pieces_;  // steepest first
};

/// A search for the smallest total that is within a tolerance, between one token for each head and
/// everything, which passes by definition.
struct TotalSearch {
  std::vector<std::int64_t> wanted;   ///< to be evaluated before the search can go on
  std::optional<std::int64_t> total;  ///< the answer, to 1% (or to 1 token); none while it goes on
};

/// Replays the search on the changes evaluated so far, by total: a wave of totals spaced evenly on
/// a logarithmic scale, then waves between the smallest that passes and the next evaluated one
/// below.
TotalSearch search_total(const std::map<std::int64_t, double>& evaluated, std::int64_t least,
                         std::int64_t most, double tolerance);

}  // namespace toplens
