#include "report/head_curves.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <fmt/format.h>

#include "results/geometry_dataset.h"
#include "results/heads_table.h"
#include "statistics/bootstrap.h"

namespace toplens {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr int kFocalSetSize = 8;

std::size_t index_or_first(std::span<const std::string> labels, std::string_view wanted) {
  const auto found = std::find(labels.begin(), labels.end(), wanted);
  return found == labels.end() ? 0 : static_cast<std::size_t>(found - labels.begin());
}

/// Bootstrap intervals that share their draws, as heads.csv's do.
class Intervals {
 public:
  explicit Intervals(std::uint64_t seed) { options_.seed = seed; }

  void append(MeanCurve& curve, std::span<const double> values) {
    double sum = 0.0;
    for (const double value : values) sum += value;
    curve.mean.push_back(values.empty() ? kNan : sum / static_cast<double>(values.size()));
    std::optional<Interval> interval;
    if (values.size() >= 2) {
      const auto [found, unused] = by_count_.try_emplace(
          values.size(), values.size(), options_.resamples, options_.level, options_.seed);
      interval = found->second.interval(values);
    }
    curve.low.push_back(interval ? interval->low : kNan);
    curve.high.push_back(interval ? interval->high : kNan);
  }

 private:
  BootstrapOptions options_;
  std::map<std::size_t, BootstrapMeans> by_count_;
};

/// One metric by one ranking and distance.
class MetricReader {
 public:
  MetricReader(const GeometryView& view, std::size_t metric, std::size_t ranking,
               std::size_t distance)
      : view_(view), values_(view.metrics[metric]), ranking_(ranking), distance_(distance) {}

  /// Of the documents that define it.
  std::vector<double> of_head(std::size_t layer, std::size_t head, std::size_t size) const {
    std::vector<double> values;
    for (std::size_t document = 0; document < view_.index.documents; ++document) {
      const float value = at(document, layer, head, size);
      if (!std::isnan(value)) values.push_back(value);
    }
    return values;
  }
  /// Means over heads, of the documents with one.
  std::vector<double> over_heads(std::size_t size) const {
    std::vector<double> values;
    for (std::size_t document = 0; document < view_.index.documents; ++document) {
      double sum = 0.0;
      std::size_t count = 0;
      for (std::size_t layer = 0; layer < view_.index.layers; ++layer) {
        for (std::size_t head = 0; head < view_.index.heads; ++head) {
          const float value = at(document, layer, head, size);
          if (std::isnan(value)) continue;
          sum += value;
          ++count;
        }
      }
      if (count > 0) values.push_back(sum / static_cast<double>(count));
    }
    return values;
  }

 private:
  float at(std::size_t document, std::size_t layer, std::size_t head, std::size_t size) const {
    return values_[view_.index(document, layer, head, ranking_, distance_, size)];
  }

  const GeometryView& view_;
  std::span<const float> values_;
  std::size_t ranking_, distance_;
};

std::vector<double> in_head_order(const GeometryView& view, std::size_t metric, std::size_t ranking,
                                  std::size_t distance) {
  const std::size_t sizes = view.set_sizes.size();
  std::vector<double> values(view.index.layers * view.index.heads * sizes);
  for (std::size_t size = 0; size < sizes; ++size) {
    const std::vector<double> means = mean_over_documents(view, metric, ranking, distance, size);
    for (std::size_t head = 0; head < means.size(); ++head)
      values[head * sizes + size] = means[head];
  }
  return values;
}

}  // namespace

std::optional<HeadCurves> read_head_curves(const RunResults& results) {
  if (!results.geometry) return std::nullopt;
  const GeometryView view(*results.geometry);
  HeadCurves curves;
  curves.set_sizes = view.set_sizes;
  curves.documents = view.index.documents;
  const std::size_t ranking = index_or_first(view.rankings, "attention");
  const std::size_t distance = index_or_first(view.distances, "euclidean");
  curves.ranking = view.rankings[ranking];
  curves.distance = view.distances[distance];
  const std::size_t control = index_or_first(view.rankings, "random");
  if (control != ranking && view.rankings[control] == "random") curves.control = "random";
  Intervals intervals(results.seed);
  for (std::size_t m = 0; m < kCurveMetrics.size(); ++m) {
    HeadCurves::Metric& metric = curves.metrics[m];
    const std::string name(kCurveMetrics[m].name);
    const auto at = std::find(kGeometryMetrics.begin(), kGeometryMetrics.end(), name);
    const auto index = static_cast<std::size_t>(at - kGeometryMetrics.begin());
    const MetricReader reader(view, index, ranking, distance);
    for (std::size_t layer = 0; layer < view.index.layers; ++layer) {
      for (std::size_t head = 0; head < view.index.heads; ++head) {
        for (std::size_t size = 0; size < curves.sizes(); ++size) {
          intervals.append(metric.measured, reader.of_head(layer, head, size));
        }
      }
    }
    for (std::size_t size = 0; size < curves.sizes(); ++size) {
      intervals.append(metric.all_heads, reader.over_heads(size));
    }
    if (!curves.control.empty()) metric.control = in_head_order(view, index, control, distance);
    const auto from_heads = [&](const char* form) {
      return size_numbers(results, fmt::format(fmt::runtime(form), name), curves.ranking,
                          curves.set_sizes)
          .value_or(std::vector<double>());
    };
    metric.predicted = from_heads("predicted_{}");
    metric.lower = from_heads("lower_{}");
    metric.upper = from_heads("upper_{}");
  }
  return curves;
}

std::size_t first_below(const HeadCurves& curves, const std::vector<double>& values,
                        std::size_t head, double threshold) {
  for (std::size_t size = 0; size < curves.sizes(); ++size) {
    if (values[head * curves.sizes() + size] < threshold) return size;
  }
  return curves.sizes();
}

std::size_t focal_size(const HeadCurves& curves) {
  std::size_t best = 0;
  for (std::size_t size = 0; size < curves.sizes(); ++size) {
    const auto away = [&](std::size_t s) {
      return std::abs(std::int64_t{curves.set_sizes[s]} - kFocalSetSize);
    };
    if (away(size) < away(best)) best = size;
  }
  return best;
}

}  // namespace toplens
