#pragma once

#include <string>
#include <vector>

#include "measures/head_summary.h"
#include "results/dataset.h"
#include "results/heads_table.h"

namespace toplens {

/// What heads.nc holds of theory.md 8 and the measures of others, by layer and head (some also by
/// set_size or measure_setting). Every figure X stands with X_low and X_high, its 95% interval over
/// documents, and X_documents, how many define it; the attribute `reason` of X names the variable
/// that says why it is NaN. `heads` is [layer][head] in one row.
void add_measure_variables(Dataset& dataset, const std::vector<HeadSummary>& heads,
                           const MeasuredShape& shape);

/// The same for heads.csv; X_documents only where it is not the number of documents of all heads.
void add_measure_columns(HeadTable& table, const std::vector<HeadSummary>& heads,
                         const MeasuredShape& shape);

/// The mean of one figure for every head, NaN where it is not defined.
struct NamedMeans {
  std::string name;
  std::vector<double> values;
};
/// Of every figure by layer and head.
std::vector<NamedMeans> measure_means(const std::vector<HeadSummary>& heads);

}  // namespace toplens
