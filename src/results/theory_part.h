#pragma once

#include <string>
#include <vector>

#include "results/dataset.h"
#include "theory/assumption_records.h"

namespace toplens {

/// Adds the records of a batch of documents to the dataset of its part, as variables with the
/// leading dimension `document` (there already, like `layer` and `head`).
void add_theory_records(Dataset& part, const AssumptionRecords& records);

/// Names of these variables, for PartsReader::read.
std::vector<std::string> theory_record_names();

/// The records as they lie in a part or in pooled parts, which must outlive the view. Throws Error
/// where a variable is absent or has another size than the others.
AssumptionView theory_records(const Dataset& dataset);

}  // namespace toplens
