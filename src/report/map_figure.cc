#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "report/figure.h"
#include "report/map_entries.h"

namespace toplens {
namespace {

std::string_view name_of(MapScale scale) {
  switch (scale) {
    case MapScale::diverging:
      return "diverging";
    case MapScale::categorical:
      return "categorical";
    case MapScale::sequential:
      break;
  }
  return "sequential";
}

/// What the colours span: all of the values, and for a diverging scale as much on both sides of 0.
PageJson domain_of(const MapEntry& entry) {
  if (entry.scale == MapScale::categorical) {
    PageJson names = PageJson::array();
    for (const std::string_view name : regime_names()) names.push_back(name);
    return names;
  }
  double low = 0.0, high = 0.0;
  bool any = false;
  for (const double value : entry.values) {
    if (std::isnan(value)) continue;
    low = any ? std::min(low, value) : value;
    high = any ? std::max(high, value) : value;
    any = true;
  }
  if (entry.scale == MapScale::diverging) {
    const double most = std::max(std::abs(low), std::abs(high));
    return {-most, most};
  }
  if (low == high) high = low + 1.0;
  return {low, high};
}

}  // namespace

int map_height(const ReportRun& run) {
  return std::clamp(static_cast<int>(20 * run.results.layers) + 70, 220, 620);
}

FigureOrReason map_figure(const ReportRun& run) {
  const std::vector<MapEntry> entries = map_entries(run);
  if (entries.empty()) return std::string("neither geometry.nc nor heads.nc is there");
  const std::size_t heads = run.results.num_heads();
  PageJson layer = PageJson::array(), head = PageJson::array();
  for (std::size_t i = 0; i < heads; ++i) {
    layer.push_back(i / run.results.query_heads);
    head.push_back(i % run.results.query_heads);
  }
  PageJson scales = PageJson::array(), domains = PageJson::array(), labels = PageJson::array();
  std::vector<std::string> findings;
  PageTable table(PageKey::entry, heads);
  table.fixed("layer", layer).fixed("head", head);
  PageJson column = PageJson::array();
  for (const MapEntry& entry : entries) {
    findings.push_back(entry.finding);
    scales.push_back(name_of(entry.scale));
    domains.push_back(domain_of(entry));
    labels.push_back(entry.label);
    for (std::size_t i = 0; i < heads; ++i) {
      if (entry.scale == MapScale::categorical) {
        column.push_back(entry.labels[i]);
      } else if (std::isnan(entry.values[i])) {
        column.push_back(nullptr);
      } else {
        column.push_back(entry.values[i]);
      }
    }
  }
  Figure figure;
  figure.finding = keyed_texts(PageKey::entry, findings);
  figure.alt = fmt::format("Map of {} layers by {} heads, coloured by the chosen quantity",
                           run.results.layers, run.results.query_heads);
  figure.values = {{"height", map_height(run)}};
  figure.variants = {{"scales", scales}, {"domains", domains}, {"labels", labels}};
  figure.tables.emplace_back("heads", table.values("value", std::move(column)));
  PageTable selected(PageKey::head, 1);
  selected.values("layer", layer).values("head", head);
  figure.tables.emplace_back("selected", selected);
  return figure;
}

}  // namespace toplens
