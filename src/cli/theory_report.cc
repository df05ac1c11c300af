#include "cli/theory_report.h"

#include <array>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "results/theory_json.h"
#include "results/theory_text.h"
#include "theory/theory_summary.h"

namespace toplens {
namespace {

using Json = nlohmann::ordered_json;

/// Amounts of the default sensitivity table.
constexpr std::array<ViolationAmount, 7> kDefaultViolations = {
    {{Violation::none, 0.0},
     {Violation::heavy_tailed_norms, 0.3},
     {Violation::uncompressed_sink, 1.5},
     {Violation::no_decay, 1.0},
     {Violation::slow_decay, 16.0},
     {Violation::induction_spikes, 0.3},
     {Violation::second_sink, 0.5}}};

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

std::string size_table(std::span<const HeadTheory> heads, std::span<const int> set_sizes) {
  std::string text = fmt::format("{:>4}  {:<9} {:>8} {:>7} {:>7} {:>7} {:>8} {:>7} {:>7} {:>7}\n",
                                 "N", "metric", "measured", "lower", "centre", "upper", "coverage",
                                 "strict", "error", "baseline");
  for (const int set_size : set_sizes) {
    for (const auto& metric : kMetricNames) {
      const std::vector<CoverageCell> cells = coverage_cells(heads, metric.kind, set_size);
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

std::string summary_lines(std::span<const HeadTheory> heads, std::uint64_t seed) {
  std::string text;
  for (const auto& metric : kMetricNames) {
    const CoverageSummary s = summarize_coverage(coverage_cells(heads, metric.kind), seed);
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
  const RegimeCorrelations regime = regime_correlations(heads, seed);
  text += fmt::format("N_half, Spearman over heads: measured with predicted {}, with N_crit {}\n",
                      show(regime.predicted), show(regime.critical));
  return text;
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
                            std::span<const HeadTheory> heads) {
  std::string row =
      fmt::format("| {} | {} | {} |", name(violation.violation),
                  violation.violation == Violation::none ? std::string("-")
                                                         : fmt::format("{}", violation.amount),
                  told);
  CoverageSummary f;
  for (const auto& metric : kMetricNames) {
    f = summarize_coverage(coverage_cells(heads, metric.kind));
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
  text += summary_lines(simulated.unaware, options.envelope.seed);
  if (!simulated.aware.empty()) {
    text += "\nthe theory is told what a perfect fit of the violated heads would find\n\n";
    text += fmt::format("{}\n", size_table(simulated.aware, options.set_sizes));
    text += summary_lines(simulated.aware, options.envelope.seed);
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
  json["unaware"] = coverage_json(simulated.unaware, options.set_sizes, options.envelope.seed);
  if (!simulated.aware.empty())
    json["aware"] = coverage_json(simulated.aware, options.set_sizes, options.envelope.seed);
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
