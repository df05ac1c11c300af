#include <cmath>

#include <fmt/format.h>

#include "report/figure.h"
#include "report/words.h"

namespace toplens {
namespace {

constexpr double kHalf = 0.5;

std::string overall_finding(const ReportRun& run) {
  const HeadCurves& curves = *run.curves;
  const std::size_t heads = run.results.num_heads();
  std::vector<std::size_t> below(curves.sizes() + 1, 0);
  for (std::size_t head = 0; head < heads; ++head) {
    ++below[first_below(curves, curves.f_score().measured.mean, head, kHalf)];
  }
  std::size_t so_far = 0;
  for (std::size_t size = 0; size < curves.sizes(); ++size) {
    so_far += below[size];
    if (2 * so_far < heads) continue;
    if (so_far == heads) {
      return fmt::format("F falls below 0.5 at N = {} or before for every head",
                         curves.set_sizes[size]);
    }
    return fmt::format(
        "F falls below 0.5 at N = {} for half of the heads{}", curves.set_sizes[size],
        below[curves.sizes()] > 0
            ? fmt::format("; for {} of {} it never does", below[curves.sizes()], heads)
            : "");
  }
  return fmt::format(
      "F stays at 0.5 or above up to N = {} for more than half of the heads ({} of {})",
      curves.set_sizes.back(), below[curves.sizes()], heads);
}

std::string head_note(const ReportRun& run, std::size_t head) {
  const HeadCurves& curves = *run.curves;
  const std::size_t size = focal_size(curves);
  const std::size_t at = head * curves.sizes() + size;
  const MeanCurve& f = curves.f_score().measured;
  if (std::isnan(f.mean[at])) {
    return fmt::format("Head {}: F at N = {} is not defined.", run.results.head_name(head),
                       curves.set_sizes[size]);
  }
  std::string note =
      fmt::format("Head {}: F at N = {} is {}", run.results.head_name(head), curves.set_sizes[size],
                  interval_text(f.mean[at], f.low[at], f.high[at]));
  if (!curves.control.empty()) {
    note += fmt::format(", at random {}", number_text(curves.f_score().control[at]));
  }
  const std::size_t below = first_below(curves, f.mean, head, kHalf);
  note += below == curves.sizes()
              ? fmt::format("; never below 0.5 up to N = {}", curves.set_sizes.back())
              : fmt::format("; below 0.5 from N = {} on", curves.set_sizes[below]);
  if (curves.predicted()) {
    const std::vector<double>& predicted = curves.f_score().predicted;
    if (std::isnan(predicted[at])) {
      note += "; no prediction";
    } else {
      const std::size_t predicted_below = first_below(curves, predicted, head, kHalf);
      note += predicted_below == curves.sizes()
                  ? "; predicted: never"
                  : fmt::format("; predicted: from N = {}", curves.set_sizes[predicted_below]);
    }
  }
  return note + ".";
}

/// [head, metric, size] of what each metric has by [head, size]; empty where it is absent.
template <typename Member>
std::vector<double> by_metric(const ReportRun& run, const Member& member) {
  const HeadCurves& curves = *run.curves;
  std::vector<double> values;
  for (std::size_t head = 0; head < run.results.num_heads(); ++head) {
    for (const HeadCurves::Metric& metric : curves.metrics) {
      const std::vector<double>& column = member(metric);
      if (column.empty()) return {};
      values.insert(values.end(),
                    column.begin() + static_cast<std::ptrdiff_t>(head * curves.sizes()),
                    column.begin() + static_cast<std::ptrdiff_t>((head + 1) * curves.sizes()));
    }
  }
  return values;
}

}  // namespace

FigureOrReason curves_figure(const ReportRun& run) {
  if (!run.curves) return std::string("geometry.nc is not there");
  const HeadCurves& curves = *run.curves;
  PageJson metric = PageJson::array(), size = PageJson::array(), all_heads = PageJson::array();
  for (std::size_t m = 0; m < kCurveMetrics.size(); ++m) {
    for (std::size_t n = 0; n < curves.sizes(); ++n) {
      metric.push_back(kCurveMetrics[m].title);
      size.push_back(curves.set_sizes[n]);
      const double mean = curves.metrics[m].all_heads.mean[n];
      all_heads.push_back(std::isnan(mean) ? PageJson(nullptr) : PageJson(mean));
    }
  }
  using Metric = HeadCurves::Metric;
  PageTable table(PageKey::head, metric.size());
  table.fixed("metric", metric).fixed("set_size", size).fixed("all_heads", all_heads);
  const auto add = [&](const char* name, const auto& member) {
    const std::vector<double> values = by_metric(run, member);
    if (!values.empty()) table.column(name, std::span<const double>(values));
  };
  add(
      "measured", [](const Metric& m) -> const auto& { return m.measured.mean; });
  add(
      "measured_low", [](const Metric& m) -> const auto& { return m.measured.low; });
  add(
      "measured_high", [](const Metric& m) -> const auto& { return m.measured.high; });
  add(
      "random", [](const Metric& m) -> const auto& { return m.control; });
  add(
      "predicted", [](const Metric& m) -> const auto& { return m.predicted; });
  add(
      "lower", [](const Metric& m) -> const auto& { return m.lower; });
  add(
      "upper", [](const Metric& m) -> const auto& { return m.upper; });
  Figure figure;
  figure.finding = text(overall_finding(run));
  std::vector<std::string> notes;
  for (std::size_t head = 0; head < run.results.num_heads(); ++head) {
    notes.push_back(head_note(run, head));
  }
  figure.note = keyed_texts(PageKey::head, notes);
  figure.alt = fmt::format(
      "Three panels, precision, recall and F-score against the set size N on a logarithmic axis: "
      "the chosen head as measured ({} ranking, {} distance) with its 95% interval{}{}, and the "
      "mean over all heads",
      curves.ranking, curves.distance, curves.control.empty() ? "" : ", the random control",
      curves.predicted() ? ", the predicted curve and the envelope" : "");
  PageJson series = {"this head"};
  if (curves.predicted()) series.push_back("predicted");
  series.push_back("mean of all heads");
  if (!curves.control.empty()) series.push_back("random");
  figure.values = {{"series", series}};
  figure.tables.emplace_back("curves", table);
  return figure;
}

}  // namespace toplens
