#include <algorithm>

#include <fmt/format.h>

#include "report/figure.h"
#include "report/words.h"

namespace toplens {
namespace {

/// Mean layer of a regime's heads relative to the last layer, in words of depth.
std::string where(const std::vector<std::string>& labels, std::string_view regime,
                  std::size_t layers, std::size_t heads) {
  double sum = 0.0, count = 0.0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] != regime) continue;
    const std::size_t layer = i / heads;
    sum += static_cast<double>(layer);
    ++count;
  }
  return fmt::format("{} (mean layer {} of 0 to {})",
                     count_text(static_cast<std::size_t>(count), regime), number_text(sum / count),
                     layers - 1);
}

}  // namespace

FigureOrReason regimes_figure(const ReportRun& run) {
  const auto labels = head_regimes(run.results);
  if (!labels) return why_absent(run.results, "regime_name");
  const std::size_t heads = run.results.query_heads;
  PageJson layer = PageJson::array(), regime = PageJson::array(), order = PageJson::array();
  std::vector<double> counts;
  for (std::size_t l = 0; l < run.results.layers; ++l) {
    const auto begin = labels->begin() + static_cast<std::ptrdiff_t>(l * heads);
    for (std::size_t r = 0; r < regime_names().size(); ++r) {
      layer.push_back(l);
      regime.push_back(regime_names()[r]);
      order.push_back(r);
      counts.push_back(static_cast<double>(
          std::count(begin, begin + static_cast<std::ptrdiff_t>(heads), regime_names()[r])));
    }
  }
  std::vector<std::string> found;
  for (const std::string_view name : {"Retriever", "Mixer", "Reset"}) {
    if (std::find(labels->begin(), labels->end(), name) != labels->end()) {
      found.push_back(where(*labels, name, run.results.layers, heads));
    }
  }
  Figure figure;
  figure.finding = text(found.empty() ? "No head is a Retriever, Mixer or Reset"
                                      : fmt::format("Of {}: {}", count_text(labels->size(), "head"),
                                                    list_text(found)));
  figure.values = {{"height", map_height(run)}};
  figure.alt = "Stacked bars: number of heads of each regime by layer";
  PageTable table(PageKey::none, counts.size());
  table.fixed("layer", layer)
      .fixed("regime", regime)
      .fixed("order", order)
      .column("heads", std::span<const double>(counts));
  figure.tables.emplace_back("regimes", table);
  return figure;
}

}  // namespace toplens
