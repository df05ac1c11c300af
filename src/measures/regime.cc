#include "measures/regime.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <toplens/error.h>

namespace toplens {

void RegimeThresholds::set(std::string_view name, double value) {
  std::string valid;
  for (const RegimeThresholdRow& row : kRegimeThresholds) {
    if (row.name == name) {
      if (!(value > row.low && value < row.high)) {
        throw Error(fmt::format("regime threshold {} is {}: expected more than {} and less than {}",
                                name, value, row.low, row.high));
      }
      this->*row.value = value;
      return;
    }
    valid += fmt::format("{}{}", valid.empty() ? "" : ", ", row.name);
  }
  throw Error(fmt::format("unknown regime threshold '{}': expected one of {}", name, valid));
}

RegimeLabel classify(const SignatureMeans& means, const RegimeThresholds& thresholds) {
  const RegimeThresholds& at = thresholds;
  // theory.md 8: slacks, positive where the condition holds; with the default thresholds the
  // denominators are 0.5, 0.5, 3 and 0.5.
  const double x = std::min((means.sink_mass - at.sink_mass) / (1.0 - at.sink_mass),
                            (at.output_ratio - means.output_ratio) / at.output_ratio);
  const double spread =
      (means.log_effective_number - std::log(at.effective_number)) / std::log(at.effective_number);
  const double separation = (means.separability - at.separability) / (1.0 - at.separability);
  const double y = std::min(-spread, separation);
  RegimeLabel label;
  if (x >= 0.0) {
    label.regime = Regime::reset;
    label.margin = x;
  } else if (y >= 0.0) {
    label.regime = Regime::retriever;
    label.self = means.final_mass >= at.self_mass;
    label.margin = std::min(-x, y);
  } else if (spread > 0.0) {
    label.regime = Regime::mixer;
    label.margin = std::min(-x, spread);
  } else {
    label.regime = Regime::unclassified;
    label.margin = std::min(-x, -separation);
  }
  return label;
}

}  // namespace toplens
