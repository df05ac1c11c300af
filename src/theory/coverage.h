#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "statistics/bootstrap.h"

namespace toplens {

/// A measured mean over documents: one metric of one head at one set size.
struct MeasuredMean {
  double mean = 0.0;
  double standard_error = 0.0;  ///< of the mean, over documents
  std::size_t documents = 0;
  bool all_agree = false;  ///< all documents have the same value

  /// e of theory.md 5: max(0.01, 2 SE), or 3/n in place of 2 SE where all n documents agree.
  double tolerance() const;
};

/// From the documents' values, none NaN, at least one. One document alone has no spread: its
/// standard error is 0 and it agrees with itself.
MeasuredMean measured_mean(std::span<const double> values);

/// Prediction beside measurement; cells of one head depend on each other.
struct CoverageCell {
  std::size_t head = 0;  ///< any number that names the head
  int set_size = 0;
  MeasuredMean measured;
  double lower = 0.0;
  double centre = 0.0;
  double upper = 0.0;
};

/// A mean over heads of the heads' own means over their cells.
struct HeadMean {
  double mean = 0.0;
  std::optional<Interval> interval;  ///< bootstrap over heads
};

struct CoverageSummary {
  std::size_t cells = 0;
  std::size_t heads = 0;
  HeadMean coverage;         ///< share of cells with [mean - e, mean + e] meeting [lower, upper]
  HeadMean strict_coverage;  ///< the same with e = 0
  HeadMean width;            ///< upper - lower
  HeadMean centre_error;     ///< |centre - mean|
  /// |mean over heads at this set size - mean|: what a baseline that knows the measured mean over
  /// these heads gets.
  HeadMean baseline_error;
};

bool covers(const CoverageCell& cell, double tolerance);

/// Over cells without NaN; none: zero cells.
CoverageSummary summarize_coverage(std::span<const CoverageCell> cells, std::uint64_t seed = 2027);

}  // namespace toplens
