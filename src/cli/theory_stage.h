#pragma once

#include <memory>

#include "cli/analysis_stage.h"
#include "geometry/separability.h"
#include "results/profiles_dataset.h"
#include "theory/run_theory.h"

namespace toplens {

/// theory.md 3 to 6 at the final query: fits, bounds and predictions in heads.nc, heads.csv and
/// theory.json, the curves behind the fits in profiles.nc. `measured` are the geometry's options and
/// queries, `shown` is the run's first document.
std::unique_ptr<AnalysisStage> make_theory_stage(const GeometryOptions& measured,
                                                 QuerySelection queries,
                                                 const RunTheoryOptions& options,
                                                 ShownDocument shown);

}  // namespace toplens
