#include "intervention/tolerance_search.h"

#include <algorithm>
#include <cassert>

namespace toplens {
namespace {

/// Looks sizes up and notes which.
class Lookup {
 public:
  Lookup(const LossChanges& evaluated, double tolerance, ToleranceSearch& search)
      : evaluated_(evaluated), tolerance_(tolerance), search_(search) {}

  /// False where the size must be evaluated first.
  bool has(int set_size) {
    if (std::find(search_.visited.begin(), search_.visited.end(), set_size) !=
        search_.visited.end()) {
      return true;
    }
    if (evaluated_.count(set_size) == 0) {
      search_.wanted.push_back(set_size);
      return false;
    }
    search_.visited.push_back(set_size);
    return true;
  }
  bool visited(int set_size) const {
    return std::find(search_.visited.begin(), search_.visited.end(), set_size) !=
           search_.visited.end();
  }
  bool passes(int set_size) const { return evaluated_.at(set_size) <= tolerance_; }

 private:
  const LossChanges& evaluated_;
  double tolerance_;
  ToleranceSearch& search_;
};

std::optional<int> run(Lookup& lookup, int num_visible) {
  std::vector<int> powers;
  bool all_there = true;
  for (int size = 1; size < num_visible; size *= 2) {
    powers.push_back(size);
    if (!lookup.has(size)) all_there = false;  // all of them are one wave
    if (size > num_visible / 2) break;
  }
  if (!all_there) return std::nullopt;
  if (powers.empty()) return num_visible;

  const auto first =
      std::find_if(powers.begin(), powers.end(), [&](int size) { return lookup.passes(size); });
  if (first == powers.begin()) return 1;
  int high = first == powers.end() ? num_visible : *first;
  int low = first == powers.end() ? powers.back() : high / 2;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (!lookup.has(middle)) return std::nullopt;
    (lookup.passes(middle) ? high : low) = middle;
  }
  for (const int size : {high - 3, high - 2}) {
    if (size < 1 || lookup.visited(size)) continue;
    if (!lookup.has(size)) return std::nullopt;
    if (lookup.passes(size)) return size;
  }
  return high;
}

}  // namespace

ToleranceSearch search_tolerance(const LossChanges& evaluated, int num_visible, double tolerance) {
  assert(num_visible >= 1 && tolerance > 0);
  ToleranceSearch search;
  Lookup lookup(evaluated, tolerance, search);
  search.set_size = run(lookup, num_visible);
  std::sort(search.visited.begin(), search.visited.end());
  return search;
}

}  // namespace toplens
