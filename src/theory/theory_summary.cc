#include "theory/theory_summary.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace toplens {

namespace {

constexpr double kSinkSelected = 0.9, kSinkUnselected = 0.1;

/// Pairs of one correlation, and what may be taken out of them.
struct Pairs {
  std::vector<double> similarity, recall, mass;

  void add(double x, double y, double control) {
    similarity.push_back(x);
    recall.push_back(y);
    mass.push_back(control);
  }
  RankCorrelation correlation(const RankCorrelationOptions& options) const {
    return spearman(similarity, recall, options);
  }
  RankCorrelation partial(const RankCorrelationOptions& options) const {
    return partial_spearman(similarity, recall, mass, options);
  }
};

}  // namespace

double value_of(const Separation& separation, Metric metric) {
  return metric == Metric::precision ? separation.precision
         : metric == Metric::recall  ? separation.recall
                                     : separation.f_score;
}

const MeasuredMean& measured_of(const TheoryAtSize& size, Metric metric) {
  return metric == Metric::precision ? size.precision
         : metric == Metric::recall  ? size.recall
                                     : size.f_score;
}

std::vector<CoverageCell> coverage_cells(std::span<const HeadTheory> heads, Metric metric,
                                         std::optional<int> set_size) {
  std::vector<CoverageCell> cells;
  for (std::size_t h = 0; h < heads.size(); ++h) {
    for (const TheoryAtSize& size : heads[h].sizes) {
      if (set_size ? size.set_size != *set_size : size.set_size < 2) continue;
      CoverageCell cell;
      cell.head = h;
      cell.set_size = size.set_size;
      cell.measured = measured_of(size, metric);
      cell.lower = value_of(size.envelope.lower, metric);
      cell.centre = value_of(size.envelope.centre, metric);
      cell.upper = value_of(size.envelope.upper, metric);
      cells.push_back(cell);
    }
  }
  return cells;
}

ConditionalCheck check_conditional(std::span<const HeadTheory> heads) {
  const auto holds = [](const MeasuredMean& bound, const MeasuredMean& measured) {
    return bound.mean <=
           measured.mean + 3.0 * std::hypot(bound.standard_error, measured.standard_error) + 1e-6;
  };
  ConditionalCheck check;
  for (const HeadTheory& head : heads) {
    for (const TheoryAtSize& size : head.sizes) {
      if (size.set_size < 2 || std::isnan(size.gaussian.precision)) continue;
      ++check.cells;
      if (holds(size.chernoff_precision, size.precision) &&
          holds(size.chernoff_recall, size.recall)) {
        ++check.below;
      }
      if (std::abs(size.gaussian.precision - size.precision.mean) <= 0.05) ++check.near;
    }
  }
  return check;
}

RegimeCorrelations regime_correlations(std::span<const HeadTheory> heads, std::uint64_t seed) {
  std::vector<double> measured, predicted, critical;
  const auto number = [](const std::optional<int>& size) {
    return size ? double(*size) : std::numeric_limits<double>::infinity();
  };
  for (const HeadTheory& head : heads) {
    if (!head.predicted) continue;
    measured.push_back(number(head.measured_half));
    predicted.push_back(number(head.predicted_half));
    critical.push_back(number(head.critical_size));
  }
  RankCorrelationOptions options;
  options.seed = seed;
  return {spearman(measured, predicted, options), spearman(measured, critical, options)};
}

std::vector<SinkCorrelations> sink_correlations(std::span<const HeadTheory> heads,
                                                std::span<const double> sink_similarity,
                                                std::uint64_t seed) {
  struct Groups {
    Pairs selected, unselected, all;
  };
  std::map<int, Groups> by_size;
  for (std::size_t h = 0; h < heads.size(); ++h) {
    if (std::isnan(sink_similarity[h]) || std::isnan(heads[h].sink_mass)) continue;
    for (const TheoryAtSize& size : heads[h].sizes) {
      if (size.set_size < 2) continue;
      Groups& groups = by_size[size.set_size];
      const double recall = size.recall.mean;
      groups.all.add(sink_similarity[h], recall, heads[h].sink_mass);
      if (size.sink_selected >= kSinkSelected) {
        groups.selected.add(sink_similarity[h], recall, heads[h].sink_mass);
      } else if (size.sink_selected <= kSinkUnselected) {
        groups.unselected.add(sink_similarity[h], recall, heads[h].sink_mass);
      }
    }
  }
  RankCorrelationOptions options;
  options.seed = seed;
  std::vector<SinkCorrelations> rows;
  for (const auto& [set_size, groups] : by_size) {
    rows.push_back({set_size, groups.selected.correlation(options),
                    groups.selected.partial(options), groups.unselected.correlation(options),
                    groups.all.correlation(options)});
  }
  return rows;
}

std::map<int, std::size_t> best_small_sizes(std::span<const HeadTheory> heads) {
  std::map<int, std::size_t> histogram;
  for (const HeadTheory& head : heads) {
    const TheoryAtSize* best = nullptr;
    for (const TheoryAtSize& size : head.sizes) {
      if (size.set_size < 2) continue;
      if (best == nullptr || size.f_score.mean > best->f_score.mean) best = &size;
    }
    if (best != nullptr) ++histogram[best->set_size];
  }
  return histogram;
}

}  // namespace toplens
