#pragma once

#include <span>

#include "results/dataset.h"
#include "results/heads_table.h"
#include "theory/assumption_records.h"
#include "theory/head_fit.h"

namespace toplens {

/// heads.nc before anything is in it: the coordinates layer and head.
Dataset make_heads_dataset(std::size_t layers, std::size_t heads);

/// What heads.nc holds of the fits of theory.md 3: variables by layer and head, those of the
/// residuals also by ranking and set size. Beside every group of variables stands a string variable
/// `<group>_reason`, empty where its figures were estimated; each variable's attribute `reason`
/// names the one that says why it is NaN. `fits` is [layer][head] in one row.
void add_fit_variables(Dataset& heads, std::span<const HeadFit> fits, const RecordedShape& shape);

/// The main ones for heads.csv, with their reasons; sigma and beta of the first ranking.
void add_fit_columns(HeadTable& table, std::span<const HeadFit> fits);

}  // namespace toplens
