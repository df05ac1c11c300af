#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "report/figure.h"
#include "report/words.h"

namespace toplens {
namespace {

/// Sizes in doubling bins: 1, 2, 3-4, 5-8, ...; NaN (above the largest size, or no estimate) last.
std::size_t bin_of(double size) {
  std::size_t bin = 0;
  for (double end = 1.0; end < size; end *= 2.0) ++bin;
  return bin;
}

std::string bin_label(std::size_t bin) {
  if (bin < 2) return fmt::format("{}", bin + 1);
  return fmt::format("{}-{}", (std::size_t{1} << (bin - 1)) + 1, std::size_t{1} << bin);
}

struct Quantity {
  const char* variable;
  const char* label;
};
constexpr std::array<Quantity, 3> kQuantities = {
    {{"critical_size", "N_crit, guaranteed"},
     {"predicted_half_size", "predicted N with F < 0.5"},
     {"measured_half_size", "measured N with F < 0.5"}}};

}  // namespace

FigureOrReason critical_size_figure(const ReportRun& run) {
  const auto critical = head_numbers(run.results, kQuantities[0].variable);
  if (!critical) return why_absent(run.results, kQuantities[0].variable);
  const int largest = run.curves ? run.curves->set_sizes.back() : 0;
  const std::string beyond =
      largest > 0 ? fmt::format("above {} or none", largest) : "larger or none";
  std::size_t bins = 1;
  for (const Quantity& quantity : kQuantities) {
    for (const double size :
         head_numbers(run.results, quantity.variable).value_or(std::vector<double>())) {
      if (!std::isnan(size)) bins = std::max(bins, bin_of(size) + 1);
    }
  }
  PageJson labels = PageJson::array(), kinds = PageJson::array(), order = PageJson::array();
  std::vector<double> counts;
  for (const Quantity& quantity : kQuantities) {
    const auto sizes = head_numbers(run.results, quantity.variable);
    if (!sizes) continue;
    std::vector<double> by_bin(bins + 1, 0.0);
    for (const double size : *sizes) ++by_bin[std::isnan(size) ? bins : bin_of(size)];
    for (std::size_t bin = 0; bin <= bins; ++bin) {
      labels.push_back(bin == bins ? beyond : bin_label(bin));
      kinds.push_back(quantity.label);
      order.push_back(bin);
      counts.push_back(by_bin[bin]);
    }
  }
  std::vector<double> sorted;
  for (const double size : *critical) {
    sorted.push_back(std::isnan(size) ? std::numeric_limits<double>::infinity() : size);
  }
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted[(sorted.size() - 1) / 2];
  Figure figure;
  figure.finding =
      text(std::isinf(median)
               ? "For half of the heads N_crit is above the largest size, or not estimable"
               : fmt::format("Half of the heads have N_crit of at most {}: up to there theory "
                             "guarantees that the top N separate even without a gap",
                             number_text(median)));
  figure.alt = "Histogram over heads of N_crit, beside the sizes at which F falls below 0.5";
  PageTable table(PageKey::none, counts.size());
  table.fixed("size", labels).fixed("quantity", kinds).fixed("order", order);
  table.column("heads", counts);
  figure.tables.emplace_back("sizes", table);
  return figure;
}

}  // namespace toplens
