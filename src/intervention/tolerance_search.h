#pragma once

#include <map>
#include <optional>
#include <vector>

namespace toplens {

/// Relative loss changes by set size, as far as they have been evaluated.
using LossChanges = std::map<int, double>;

/// The state of a search for N*.
struct ToleranceSearch {
  /// Sizes that must be evaluated before the search can go on; empty where it has ended.
  std::vector<int> wanted;
  /// The smallest size found within the tolerance; none while the search goes on.
  std::optional<int> set_size;
  /// The evaluated sizes that the search has looked at, increasing.
  std::vector<int> visited;
};

/// The search of theory.md 7 for N*_tau (32) among N = 1 .. num_visible, replayed on what has been
/// evaluated: num_visible itself passes by definition and is never wanted. What other searches
/// evaluated is used where this one comes by it and changes nothing else. tolerance > 0,
/// num_visible >= 1.
ToleranceSearch search_tolerance(const LossChanges& evaluated, int num_visible, double tolerance);

}  // namespace toplens
