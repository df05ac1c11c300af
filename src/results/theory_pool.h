#pragma once

#include <functional>

#include "parallel/thread_pool.h"
#include "results/run_directory.h"
#include "theory/run_theory.h"

namespace toplens {

/// The variables of a part that hold the final query's separability where geometry's own are not
/// those (all queries averaged, or no Euclidean distance): final_precision, ...
void add_final_query_geometry(Dataset& part, const Dataset& geometry);

/// Everything that theory.md 3 to 6 says of the finished parts of a run, a layer at a time: memory
/// holds one layer's records of all documents. Throws Error where the parts hold no records.
struct PooledTheory {
  RecordedShape shape;  ///< of all layers
  RunTheory run;
};
/// Shown every layer's records, as a view of one layer, with what the theory says of it.
using LayerVisitor = std::function<void(const AssumptionView& records, const RunTheory& layer)>;
PooledTheory pool_theory(const PartsReader& parts, const RunTheoryOptions& options,
                         ThreadPool& pool, const LayerVisitor& visit = {});

}  // namespace toplens
