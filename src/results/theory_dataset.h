#pragma once

#include "results/dataset.h"
#include "results/heads_table.h"
#include "results/theory_pool.h"

namespace toplens {

/// What heads.nc holds of theory.md 4 to 6 beside the fits: measured means with their bootstrap
/// intervals, bounds, envelope and prediction by layer, head, ranking and set size; N_crit, N_half,
/// coverage and the prediction's error by layer, head and ranking. `heads` has the fits already
/// (add_fit_variables). Reasons stand beside as there.
void add_theory_variables(Dataset& heads, const PooledTheory& theory,
                          const RunTheoryOptions& options);

/// The main ones for heads.csv: of the first ranking that has a prediction.
void add_theory_columns(HeadTable& table, const PooledTheory& theory,
                        const RunTheoryOptions& options);

/// Why the predictions of a cell are NaN; `estimated` where they are not.
FitReason prediction_reason(const PooledTheory& theory, const RunTheoryOptions& options,
                            std::size_t ranking, std::size_t head, std::size_t size);

}  // namespace toplens
