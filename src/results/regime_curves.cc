#include "results/regime_curves.h"

#include <cmath>
#include <limits>
#include <map>

#include <fmt/format.h>

#include "statistics/bootstrap.h"
#include "statistics/moments.h"

namespace toplens {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Rows of the heads of each regime.
std::array<std::vector<std::size_t>, kNumRegimes> rows_by_regime(
    const std::vector<HeadSummary>& heads) {
  std::array<std::vector<std::size_t>, kNumRegimes> rows;
  for (std::size_t row = 0; row < heads.size(); ++row) {
    rows[static_cast<std::size_t>(heads[row].regime().label.regime)].push_back(row);
  }
  return rows;
}

}  // namespace

std::vector<RegimeCurvePoint> regime_curves(const GeometryView& geometry,
                                            const std::vector<HeadSummary>& heads,
                                            const SummaryStatistics& statistics) {
  const GeometryIndex& index = geometry.index;
  std::map<std::size_t, BootstrapMeans> by_count;
  const auto estimate = [&](std::span<const double> values) {
    MeanEstimate result{kNan, kNan, kNan, static_cast<std::int64_t>(values.size())};
    if (values.empty()) return result;
    result.mean = mean(values);
    const auto [found, unused] = by_count.try_emplace(
        values.size(), values.size(), statistics.resamples, statistics.level, statistics.seed);
    if (const auto interval = found->second.interval(values)) {
      result.low = interval->low;
      result.high = interval->high;
    }
    return result;
  };
  const auto rows = rows_by_regime(heads);
  std::vector<RegimeCurvePoint> points;
  for (std::size_t regime = 0; regime < kNumRegimes; ++regime) {
    if (rows[regime].empty()) continue;
    for (std::size_t r = 0; r < index.rankings; ++r) {
      for (std::size_t d = 0; d < index.distances; ++d) {
        for (std::size_t n = 0; n < index.set_sizes; ++n) {
          RegimeCurvePoint point;
          point.regime = kRegimeNames[regime].kind;
          point.heads = static_cast<std::int64_t>(rows[regime].size());
          point.ranking = geometry.rankings[r];
          point.distance = geometry.distances[d];
          point.set_size = geometry.set_sizes[n];
          for (std::size_t metric = 0; metric < point.metrics.size(); ++metric) {
            std::vector<double> documents;
            for (std::size_t document = 0; document < index.documents; ++document) {
              double sum = 0.0;
              std::size_t count = 0;
              for (const std::size_t row : rows[regime]) {
                const double value = geometry.metrics[metric][index(document, row / index.heads,
                                                                    row % index.heads, r, d, n)];
                if (std::isnan(value)) continue;
                sum += value;
                ++count;
              }
              if (count > 0) documents.push_back(sum / static_cast<double>(count));
            }
            point.metrics[metric] = estimate(documents);
          }
          if (point.metrics[0].documents > 0) points.push_back(std::move(point));
        }
      }
    }
  }
  return points;
}

std::vector<RegimeCoverage> regime_coverage(const Dataset& heads_dataset,
                                            const std::vector<HeadSummary>& heads) {
  if (!heads_dataset.has_variable("coverage_f_score")) return {};
  const std::span<const std::string> rankings = heads_dataset.labels<std::string>("ranking");
  const auto by_regime = rows_by_regime(heads);
  std::vector<RegimeCoverage> coverages;
  for (std::size_t regime = 0; regime < kNumRegimes; ++regime) {
    for (std::size_t r = 0; r < rankings.size(); ++r) {
      RegimeCoverage coverage;
      coverage.regime = kRegimeNames[regime].kind;
      coverage.ranking = rankings[r];
      const auto mean_of = [&](std::string_view figure, std::size_t metric) {
        const auto values =
            heads_dataset.values<double>(fmt::format("{}_{}", figure, kGeometryMetrics[metric]));
        double sum = 0.0;
        coverage.heads = 0;
        for (const std::size_t row : by_regime[regime]) {
          const double value = values[row * rankings.size() + r];
          if (std::isnan(value)) continue;
          sum += value;
          ++coverage.heads;
        }
        return sum / static_cast<double>(coverage.heads);
      };
      for (std::size_t metric = 0; metric < coverage.coverage.size(); ++metric) {
        coverage.coverage[metric] = mean_of("coverage", metric);
        coverage.centre_error[metric] = mean_of("centre_error", metric);
      }
      if (coverage.heads > 0) coverages.push_back(coverage);
    }
  }
  return coverages;
}

}  // namespace toplens
