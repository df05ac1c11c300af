#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "report/figure.h"
#include "report/words.h"
#include "theory/fit_reason.h"

namespace toplens {
namespace {

constexpr double kLargestSize = 1 << 30;  // tokens; of no model's context are there more

/// Sizes in doubling bins: 1, 2, 3-4, 5-8, ...
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

/// What heads.nc says of a size: NaN is larger than all set sizes, or not estimable, by its reason.
struct HeadSizes {
  std::vector<double> known;
  std::size_t beyond = 0, unknown = 0;
};

HeadSizes sizes_of(const ReportRun& run, const std::string& variable) {
  HeadSizes sizes;
  const auto values = head_numbers(run.results, variable);
  const auto reasons = head_texts(run.results, variable + "_reason");
  if (!values) return sizes;
  for (std::size_t head = 0; head < values->size(); ++head) {
    const double size = (*values)[head];
    if (size >= 0.0 && size <= kLargestSize) {
      sizes.known.push_back(size);
    } else if (reasons && (*reasons)[head] == describe(FitReason::beyond_largest_size)) {
      ++sizes.beyond;
    } else {
      ++sizes.unknown;
    }
  }
  return sizes;
}

}  // namespace

FigureOrReason critical_size_figure(const ReportRun& run) {
  if (!head_numbers(run.results, kQuantities[0].variable)) {
    return why_absent(run.results, kQuantities[0].variable);
  }
  std::size_t bins = 1;
  for (const Quantity& quantity : kQuantities) {
    for (const double size : sizes_of(run, quantity.variable).known) {
      bins = std::max(bins, bin_of(size) + 1);
    }
  }
  PageJson labels = PageJson::array(), kinds = PageJson::array(), order = PageJson::array();
  std::vector<double> counts;
  for (const Quantity& quantity : kQuantities) {
    const HeadSizes sizes = sizes_of(run, quantity.variable);
    std::vector<double> by_bin(bins + 2, 0.0);
    for (const double size : sizes.known) ++by_bin[bin_of(size)];
    by_bin[bins] = static_cast<double>(sizes.beyond);
    by_bin[bins + 1] = static_cast<double>(sizes.unknown);
    for (std::size_t bin = 0; bin < by_bin.size(); ++bin) {
      labels.push_back(bin < bins ? bin_label(bin) : bin == bins ? "larger" : "not estimable");
      kinds.push_back(quantity.label);
      order.push_back(bin);
      counts.push_back(by_bin[bin]);
    }
  }
  HeadSizes critical = sizes_of(run, kQuantities[0].variable);
  const std::size_t estimable = critical.known.size() + critical.beyond;
  std::sort(critical.known.begin(), critical.known.end());
  Figure figure;
  if (estimable == 0) {
    figure.finding = text("N_crit is not estimable for any head");
  } else if (const std::size_t middle = (estimable - 1) / 2; middle < critical.known.size()) {
    figure.finding = text(critical.known[middle] < 2
                              ? std::string("For half of the heads or more N_crit is 1: without a "
                                            "gap between the weights theory "
                                            "guarantees nothing from N = 2 on")
                              : fmt::format("Half of the heads have N_crit of at most {}: up to "
                                            "there theory guarantees that the top N "
                                            "separate even without a gap",
                                            number_text(critical.known[middle])));
  } else {
    figure.finding = text("For half of the heads N_crit is above the largest set size");
  }
  figure.alt = "Histogram over heads of N_crit, beside the sizes at which F falls below 0.5";
  PageTable table(PageKey::none, counts.size());
  table.fixed("size", labels).fixed("quantity", kinds).fixed("order", order);
  table.column("heads", std::span<const double>(counts));
  figure.tables.emplace_back("sizes", table);
  return figure;
}

}  // namespace toplens
