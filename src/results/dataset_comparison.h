#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "results/dataset.h"

namespace toplens {

/// A pair of values that should be the same.
struct UnequalValue {
  std::string variable;
  std::string place;  ///< "layer 1, head 3, set_size 8"
  std::string recorded, computed;
  /// Distance over the root mean square of the computed variable; infinite where only one of them
  /// is defined, and between texts.
  double distance = 0.0;
};

/// How two datasets that should hold the same values differ.
struct DatasetDifference {
  std::string structure;      ///< what only one of them has, in words; empty: the same variables
  std::uint64_t values = 0;   ///< compared
  std::uint64_t unequal = 0;  ///< not bit for bit the same
  std::optional<UnequalValue> largest;
  /// The variable with the largest share of values whose distance is above kFarDistance; before
  /// others one with more than one such value.
  std::string far_variable;
  double far_share = 0.0;
  std::uint64_t far_values = 0;  ///< of that variable

  bool same() const { return structure.empty() && unequal == 0; }
};

inline constexpr double kFarDistance = 0.02;

/// Compares dimensions, coordinates and variables; attributes are left out, and so is the
/// coordinate `document`, which names files. NaN equals NaN.
DatasetDifference compare_datasets(const Dataset& recorded, const Dataset& computed);

/// Adds what was found elsewhere: counts add up, the largest of both stays.
void merge(DatasetDifference& into, const DatasetDifference& other);

}  // namespace toplens
