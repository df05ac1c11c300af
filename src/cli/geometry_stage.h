#pragma once

#include <memory>

#include "cli/analysis_stage.h"
#include "geometry/separability.h"

namespace toplens {

/// theory.md 2 of every head: geometry.nc and the geometry columns of heads.csv.
std::unique_ptr<AnalysisStage> make_geometry_stage(const GeometryOptions& options,
                                                   QuerySelection queries);

}  // namespace toplens
