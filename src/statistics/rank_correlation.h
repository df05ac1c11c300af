#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "statistics/bootstrap.h"

namespace toplens {

/// A rank correlation over `observations` pairs. No value where it is not defined (fewer than 3
/// observations, all equal in one of them); no interval where more than 5% of the resamples had
/// none.
struct RankCorrelation {
  std::size_t observations = 0;
  std::optional<double> value;
  std::optional<Interval> interval;
};

struct RankCorrelationOptions {
  std::size_t resamples = 2000;
  double level = 0.95;
  std::uint64_t seed = 2027;
};

/// Spearman's correlation: Pearson's of the ranks, ties sharing their mean rank, with a percentile
/// bootstrap interval. No NaN; infinities are larger than all numbers.
RankCorrelation spearman(std::span<const double> x, std::span<const double> y,
                         const RankCorrelationOptions& options = {});

/// The same with what the ranks of `control` explain linearly taken out of both.
RankCorrelation partial_spearman(std::span<const double> x, std::span<const double> y,
                                 std::span<const double> control,
                                 const RankCorrelationOptions& options = {});

}  // namespace toplens
