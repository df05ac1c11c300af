#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/figure.h"

namespace toplens {

/// Colour scales of the map, by names that map.vl.json knows.
enum class MapScale { sequential, diverging, categorical };

/// A quantity of the map at one set size: its value for every head.
struct MapEntry {
  std::string quantity;  ///< identifier, as in the page's address
  std::string group;
  std::string label;
  std::optional<std::size_t> size;  ///< index into the run's set sizes
  MapScale scale = MapScale::sequential;
  std::vector<double> values;       ///< NaN where not defined
  std::vector<std::string> labels;  ///< of a categorical quantity, instead of values
  std::string finding;
};

/// All that the run knows of its heads, the quantities of geometry.nc first.
std::vector<MapEntry> map_entries(const ReportRun& run);

/// The quantities that a run may have and this one has not, with the reason.
std::vector<std::string> absent_quantities(const ReportRun& run);

}  // namespace toplens
