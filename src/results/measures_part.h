#pragma once

#include <string>
#include <vector>

#include "measures/measure_records.h"
#include "results/dataset.h"

namespace toplens {

/// Adds the records of a batch of documents to the dataset of its part, which has the dimensions
/// document, layer and head already.
void add_measure_records(Dataset& part, const MeasureRecords& records);

/// Names of these variables, for PartsReader::read.
std::vector<std::string> measure_record_names(bool with_set_sizes);

/// The records as they lie in parts, which must outlive the view. Throws Error where a variable is
/// absent or has another size than the labels say.
MeasureView measure_records(const Dataset& dataset);

}  // namespace toplens
