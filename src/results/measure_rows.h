#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "measures/head_summary.h"

namespace toplens {

/// A figure with its interval, of every head.
struct EstimateRow {
  std::string name;
  std::string units;
  std::string long_name;
  std::string reason;  ///< variable that says why it is NaN
  std::function<MeanEstimate(const HeadSummary&)> value;
};

/// Every figure by layer and head: a row serves heads.nc, heads.csv and comparisons.
const std::vector<EstimateRow>& estimate_rows();

/// Words about a head, among them why figures are not defined; empty where there is nothing to say.
struct TextRow {
  std::string_view name;
  std::string_view long_name;
  std::function<std::string(const HeadSummary&)> value;
};
const std::vector<TextRow>& text_rows();

/// Numbers of a head without an interval.
struct NumberRow {
  std::string_view name;
  std::string_view long_name;
  std::string_view reason;
  std::function<double(const HeadSummary&)> value;
};
const std::vector<NumberRow>& number_rows();

/// Why the figures of a head at its n-th set size are not defined; empty where they are.
std::string selection_error_reason(const HeadSummary& head, std::size_t n);

}  // namespace toplens
