#include "theory/sink_threshold.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

namespace toplens {

SinkThreshold sink_threshold(const RankedTokens& tokens, const HeadAssumptions& assumptions,
                             std::size_t set_size) {
  assert(tokens.sink_visible && set_size >= 2 && set_size < tokens.size());
  const std::array<std::size_t, 1> sizes = {set_size};
  SimilaritySums sums;
  // With rho_0 = 0 the sums are those over S without the sink.
  sums.compute(tokens, assumptions.similarity, 0.0, sizes);
  const std::span<const double> inner = sums.others(0);
  const double w_sink = tokens.contributions[0];
  double rest = 0.0;  // sum of w over S\0
  bool sink_selected = false;
  for (std::size_t r = 0; r < set_size; ++r) {
    if (tokens.is_sink(r)) {
      sink_selected = true;
    } else {
      rest += tokens.contribution_at(r);
    }
  }
  assert(sink_selected);
  static_cast<void>(sink_selected);

  const double rho = assumptions.sink_similarity;
  SinkThreshold result;
  result.sink_score = w_sink * w_sink + 2.0 * w_sink * rho * rest;
  result.largest_unselected_score = -std::numeric_limits<double>::infinity();
  for (std::size_t r = set_size; r < tokens.size(); ++r) {
    const double w = tokens.contribution_at(r);
    const double without_sink = 2.0 * w * inner[r] - w * w;
    result.largest_unselected_score =
        std::max(result.largest_unselected_score, without_sink + 2.0 * w * w_sink * rho);
    const double denominator = 2.0 * w_sink * (rest - w);
    if (denominator <= 0.0) {
      ++result.left_out;
      continue;
    }
    const double threshold = (without_sink - w_sink * w_sink) / denominator;
    if (!(result.similarity >= threshold)) result.similarity = threshold;
  }
  return result;
}

}  // namespace toplens
