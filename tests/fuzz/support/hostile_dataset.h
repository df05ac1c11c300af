#pragma once

#include <fuzzer/FuzzedDataProvider.h>

#include "results/dataset.h"

namespace toplens::testing {

/// A valid dataset with up to eight faults that the input chooses: arrays that are absent, renamed,
/// of other types, dimensions or sizes, and values that no program of ours writes. Whatever a
/// dimension's size says, the arrays have as many elements, as in any netCDF file.
Dataset with_faults(const Dataset& valid, FuzzedDataProvider& input);

}  // namespace toplens::testing
