#include "cli/theory_report.h"

#include <array>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "statistics/rank_correlation.h"

namespace toplens {
namespace {

using Json = nlohmann::ordered_json;

struct NamedMetric {
  Metric metric;
  std::string_view name;
};
constexpr std::array<NamedMetric, 3> kMetrics = {
    {{Metric::precision, "precision"}, {Metric::recall, "recall"}, {Metric::f_score, "f_score"}}};

/// Amounts of the default sensitivity table.
constexpr std::array<ViolationAmount, 7> kDefaultViolations = {
    {{Violation::none, 0.0},
     {Violation::heavy_tailed_norms, 0.3},
     {Violation::uncompressed_sink, 1.5},
     {Violation::no_decay, 1.0},
     {Violation::slow_decay, 16.0},
     {Violation::induction_spikes, 0.3},
     {Violation::second_sink, 0.5}}};

/// How the conditional bounds fared over the cells with N >= 2.
struct ConditionalCheck {
  std::size_t cells = 0;
  std::size_t below = 0;  ///< Chernoff precision and recall at most 3 SE above the measured mean
  std::size_t near = 0;   ///< Gaussian precision within 0.05 of the measured mean
};

ConditionalCheck check_conditional(std::span<const SimulatedHead> heads) {
  const auto holds = [](const MeasuredMean& bound, const MeasuredMean& measured) {
    return bound.mean <=
           measured.mean + 3.0 * std::hypot(bound.standard_error, measured.standard_error) + 1e-6;
  };
  ConditionalCheck check;
  for (const SimulatedHead& head : heads) {
    for (const SimulatedSize& size : head.sizes) {
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

struct RegimeCorrelations {
  RankCorrelation predicted, critical;
};

RegimeCorrelations regime_correlations(std::span<const SimulatedHead> heads) {
  std::vector<double> measured, predicted, critical;
  const auto number = [](const std::optional<int>& size) {
    return size ? double(*size) : std::numeric_limits<double>::infinity();
  };
  for (const SimulatedHead& head : heads) {
    measured.push_back(number(head.measured_half));
    predicted.push_back(number(head.predicted_half));
    critical.push_back(number(head.critical_size));
  }
  return {spearman(measured, predicted), spearman(measured, critical)};
}

std::string show(const HeadMean& mean) {
  if (!mean.interval) return fmt::format("{:.3f}", mean.mean);
  return fmt::format("{:.3f} [{:.3f}, {:.3f}]", mean.mean, mean.interval->low, mean.interval->high);
}

std::string show(const RankCorrelation& correlation) {
  if (!correlation.value) return "not defined (no spread between heads)";
  if (!correlation.interval) return fmt::format("{:.3f}", *correlation.value);
  return fmt::format("{:.3f} [{:.3f}, {:.3f}]", *correlation.value, correlation.interval->low,
                     correlation.interval->high);
}

double mean_of(std::span<const CoverageCell> cells, const auto& get) {
  double sum = 0.0;
  std::size_t count = 0;
  for (const CoverageCell& cell : cells) {
    const double x = get(cell);
    if (std::isnan(x)) continue;
    sum += x;
    ++count;
  }
  return sum / static_cast<double>(count);
}

std::string size_table(std::span<const SimulatedHead> heads, std::span<const int> set_sizes) {
  std::string text = fmt::format("{:>4}  {:<9} {:>8} {:>7} {:>7} {:>7} {:>8} {:>7} {:>7} {:>7}\n",
                                 "N", "metric", "measured", "lower", "centre", "upper", "coverage",
                                 "strict", "error", "baseline");
  for (const int set_size : set_sizes) {
    for (const NamedMetric& metric : kMetrics) {
      const std::vector<CoverageCell> cells = coverage_cells(heads, metric.metric, set_size);
      const CoverageSummary s = summarize_coverage(cells);
      if (s.cells == 0) continue;
      text += fmt::format(
          "{:>4}  {:<9} {:>8.3f} {:>7.3f} {:>7.3f} {:>7.3f} {:>8.3f} {:>7.3f} {:>7.3f} {:>7.3f}\n",
          set_size, metric.name, mean_of(cells, [](const auto& c) { return c.measured.mean; }),
          mean_of(cells, [](const auto& c) { return c.lower; }),
          mean_of(cells, [](const auto& c) { return c.centre; }),
          mean_of(cells, [](const auto& c) { return c.upper; }), s.coverage.mean,
          s.strict_coverage.mean, s.centre_error.mean, s.baseline_error.mean);
    }
  }
  return text;
}

std::string summary_lines(std::span<const SimulatedHead> heads) {
  std::string text;
  for (const NamedMetric& metric : kMetrics) {
    const CoverageSummary s = summarize_coverage(coverage_cells(heads, metric.metric));
    text += fmt::format(
        "{}: coverage {}, strict {}, mean width {}, centre's error {}, baseline's {} "
        "({} cells with N >= 2)\n",
        metric.name, show(s.coverage), show(s.strict_coverage), show(s.width), show(s.centre_error),
        show(s.baseline_error), s.cells);
  }
  const ConditionalCheck check = check_conditional(heads);
  text += fmt::format(
      "conditional bounds: Chernoff below the measured mean (3 SE) in {} of {} cells, Gaussian "
      "precision within 0.05 in {}\n",
      check.below, check.cells, check.near);
  const RegimeCorrelations regime = regime_correlations(heads);
  text += fmt::format("N_half, Spearman over heads: measured with predicted {}, with N_crit {}\n",
                      show(regime.predicted), show(regime.critical));
  return text;
}

Json to_json(const HeadMean& mean) {
  Json json = {{"mean", mean.mean}};
  if (mean.interval) json["interval"] = {mean.interval->low, mean.interval->high};
  return json;
}

Json to_json(const RankCorrelation& correlation) {
  Json json = {{"value", nullptr}, {"interval", nullptr}, {"heads", correlation.observations}};
  if (correlation.value) json["value"] = *correlation.value;
  if (correlation.interval) {
    json["interval"] = {correlation.interval->low, correlation.interval->high};
  }
  return json;
}

Json to_json(const CoverageSummary& s) {
  return {{"cells", s.cells},
          {"coverage", to_json(s.coverage)},
          {"strict_coverage", to_json(s.strict_coverage)},
          {"width", to_json(s.width)},
          {"centre_error", to_json(s.centre_error)},
          {"baseline_error", to_json(s.baseline_error)}};
}

Json heads_json(std::span<const SimulatedHead> heads, std::span<const int> set_sizes) {
  Json json;
  for (const NamedMetric& metric : kMetrics) {
    json["overall"][std::string(metric.name)] =
        to_json(summarize_coverage(coverage_cells(heads, metric.metric)));
  }
  json["by_set_size"] = Json::array();
  for (const int set_size : set_sizes) {
    Json row = {{"set_size", set_size}};
    for (const NamedMetric& metric : kMetrics) {
      const std::vector<CoverageCell> cells = coverage_cells(heads, metric.metric, set_size);
      const CoverageSummary summary = summarize_coverage(cells);
      if (summary.cells == 0) continue;
      Json value = {{"measured", mean_of(cells, [](const auto& c) { return c.measured.mean; })},
                    {"lower", mean_of(cells, [](const auto& c) { return c.lower; })},
                    {"centre", mean_of(cells, [](const auto& c) { return c.centre; })},
                    {"upper", mean_of(cells, [](const auto& c) { return c.upper; })}};
      value.update(to_json(summary));
      row[std::string(metric.name)] = std::move(value);
    }
    if (row.size() > 1) json["by_set_size"].push_back(std::move(row));
  }
  const ConditionalCheck check = check_conditional(heads);
  json["conditional"] = {{"cells", check.cells},
                         {"chernoff_below_measured", check.below},
                         {"gaussian_precision_within_0.05", check.near}};
  const RegimeCorrelations regime = regime_correlations(heads);
  json["half_size"] = {{"measured_with_predicted", to_json(regime.predicted)},
                       {"measured_with_critical", to_json(regime.critical)}};
  return json;
}

std::string heading(const PopulationOptions& population, const SimulationOptions& options) {
  std::string fixed;
  for (const std::string_view parameter : population.fixed) {
    if (!fixed.empty()) fixed.append(", ");
    fixed.append(parameter);
  }
  return fmt::format(
      "{} heads of {} documents, L = {}, d = {}, {} ranking, {} draws, seed {}; fixed: {}\n",
      population.heads, options.documents, population.kept.length, population.kept.dimension,
      name(options.ranking), options.envelope.draws, options.envelope.seed,
      fixed.empty() ? std::string_view("none") : std::string_view(fixed));
}

std::string sensitivity_row(const ViolationAmount& violation, std::string_view told,
                            std::span<const SimulatedHead> heads) {
  std::string row =
      fmt::format("| {} | {} | {} |", name(violation.violation),
                  violation.violation == Violation::none ? std::string("-")
                                                         : fmt::format("{}", violation.amount),
                  told);
  CoverageSummary f;
  for (const NamedMetric& metric : kMetrics) {
    f = summarize_coverage(coverage_cells(heads, metric.metric));
    row += fmt::format(" {:.3f} | {:.3f} |", f.coverage.mean, f.centre_error.mean);
  }
  const ConditionalCheck check = check_conditional(heads);
  const auto cells = static_cast<double>(check.cells);
  return row + fmt::format(" {:.3f} | {:.3f} | {:.3f} | {:.3f} | {:.3f} |\n",
                           f.strict_coverage.mean, f.width.mean, f.baseline_error.mean,
                           static_cast<double>(check.below) / cells,
                           static_cast<double>(check.near) / cells);
}

}  // namespace

std::string simulation_report(const PopulationOptions& population, const SimulationOptions& options,
                              const Population& simulated) {
  std::string text = heading(population, options);
  if (population.violation.violation != Violation::none) {
    text += fmt::format("violated: {} by {}; the theory is told the parameters before it\n",
                        name(population.violation.violation), population.violation.amount);
  }
  text += fmt::format("\n{}\n", size_table(simulated.unaware, options.set_sizes));
  text += summary_lines(simulated.unaware);
  if (!simulated.aware.empty()) {
    text += "\nthe theory is told what a perfect fit of the violated heads would find\n\n";
    text += fmt::format("{}\n", size_table(simulated.aware, options.set_sizes));
    text += summary_lines(simulated.aware);
  }
  return text;
}

std::string simulation_json(const PopulationOptions& population, const SimulationOptions& options,
                            const Population& simulated) {
  Json json = {{"heads", population.heads},
               {"documents", options.documents},
               {"length", population.kept.length},
               {"dimension", population.kept.dimension},
               {"ranking", name(options.ranking)},
               {"draws", options.envelope.draws},
               {"seed", options.envelope.seed},
               {"violation", name(population.violation.violation)},
               {"amount", population.violation.amount}};
  json["unaware"] = heads_json(simulated.unaware, options.set_sizes);
  if (!simulated.aware.empty()) json["aware"] = heads_json(simulated.aware, options.set_sizes);
  return json.dump() + "\n";
}

std::string sensitivity_report(const PopulationOptions& population,
                               const SimulationOptions& options, ThreadPool& pool) {
  std::string text = heading(population, options);
  text +=
      "\n| violation | amount | theory is told | P coverage | P error | R coverage | R error | "
      "F coverage | F error | F strict | F width | F baseline | Chernoff holds | Gauss P near |\n"
      "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
  for (const ViolationAmount& violation : kDefaultViolations) {
    PopulationOptions violated = population;
    violated.violation = violation;
    const Population simulated = simulate_population(violated, options, pool);
    const bool aware = !simulated.aware.empty();
    text += sensitivity_row(violation, aware ? "parameters before" : "true parameters",
                            simulated.unaware);
    if (aware) text += sensitivity_row(violation, "parameters after", simulated.aware);
  }
  return text;
}

}  // namespace toplens
