#include "theory/coverage.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

namespace toplens {

double MeasuredMean::tolerance() const {
  const double spread = all_agree ? 3.0 / static_cast<double>(documents) : 2.0 * standard_error;
  return std::max(0.01, spread);
}

MeasuredMean measured_mean(std::span<const double> values) {
  MeasuredMean result;
  result.documents = values.size();
  const auto count = static_cast<double>(values.size());
  // Deviations from the first value: equal values then give exactly that value.
  double sum = 0.0;
  for (const double x : values) sum += x - values[0];
  result.mean = values[0] + sum / count;
  double squares = 0.0;
  for (const double x : values) squares += (x - result.mean) * (x - result.mean);
  if (values.size() > 1) result.standard_error = std::sqrt(squares / (count - 1.0) / count);
  result.all_agree =
      std::all_of(values.begin(), values.end(), [&](double x) { return x == values[0]; });
  return result;
}

bool covers(const CoverageCell& cell, double tolerance) {
  return cell.measured.mean + tolerance >= cell.lower &&
         cell.measured.mean - tolerance <= cell.upper;
}

namespace {

bool complete(const CoverageCell& cell) {
  return !std::isnan(cell.measured.mean) && !std::isnan(cell.lower) && !std::isnan(cell.centre) &&
         !std::isnan(cell.upper);
}

struct Sums {
  double cells = 0.0;
  double covered = 0.0, strictly_covered = 0.0, width = 0.0, centre_error = 0.0,
         baseline_error = 0.0;
};

}  // namespace

CoverageSummary summarize_coverage(std::span<const CoverageCell> cells, std::uint64_t seed) {
  std::map<int, std::pair<double, double>> by_size;  // sum and number of measured means
  for (const CoverageCell& cell : cells) {
    if (!complete(cell)) continue;
    by_size[cell.set_size].first += cell.measured.mean;
    by_size[cell.set_size].second += 1.0;
  }
  std::map<std::size_t, Sums> by_head;
  CoverageSummary summary;
  for (const CoverageCell& cell : cells) {
    if (!complete(cell)) continue;
    ++summary.cells;
    Sums& sums = by_head[cell.head];
    const auto& [sum, count] = by_size[cell.set_size];
    sums.cells += 1.0;
    sums.covered += covers(cell, cell.measured.tolerance()) ? 1.0 : 0.0;
    sums.strictly_covered += covers(cell, 0.0) ? 1.0 : 0.0;
    sums.width += cell.upper - cell.lower;
    sums.centre_error += std::abs(cell.centre - cell.measured.mean);
    sums.baseline_error += std::abs(sum / count - cell.measured.mean);
  }
  summary.heads = by_head.size();
  if (by_head.empty()) return summary;
  BootstrapMeans bootstrap(by_head.size(), 2000, 0.95, seed);
  const auto over_heads = [&](double Sums::*quantity) {
    std::vector<double> means;
    double sum = 0.0;
    for (const auto& [head, sums] : by_head) {
      means.push_back(sums.*quantity / sums.cells);
      sum += means.back();
    }
    return HeadMean{sum / static_cast<double>(means.size()), bootstrap.interval(means)};
  };
  summary.coverage = over_heads(&Sums::covered);
  summary.strict_coverage = over_heads(&Sums::strictly_covered);
  summary.width = over_heads(&Sums::width);
  summary.centre_error = over_heads(&Sums::centre_error);
  summary.baseline_error = over_heads(&Sums::baseline_error);
  return summary;
}

}  // namespace toplens
