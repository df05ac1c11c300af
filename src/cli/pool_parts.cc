#include "cli/pool_parts.h"

#include "cli/interrupt.h"
#include "results/fits_dataset.h"
#include "results/heads_table.h"

namespace toplens {

PooledResults pool_parts(const PartsReader& parts, const RunManifest& manifest, ThreadPool& threads,
                         const AnalysisStages& stages, ResultSink& sink) {
  const ModelConfig& config = manifest.model.config;
  HeadTable table(config.num_layers, config.num_query_heads);
  add_head_columns(table, config.num_kv_heads, manifest.text.windows.size());
  Dataset heads = make_heads_dataset(static_cast<std::size_t>(config.num_layers),
                                     static_cast<std::size_t>(config.num_query_heads));
  PooledRun run{manifest, sink, parts, threads, table, heads, {}, {}, {}};
  for (const auto& stage : stages) {
    check_interrupt();
    stage->pool(run);
  }
  check_interrupt();
  sink.write_text("heads.csv", table.to_csv());
  run.files.emplace(run.files.begin(), "heads.csv", "one row per head");
  if (!heads.variables().empty()) {
    sink.write_dataset("heads.nc", heads);
    run.files.emplace_back("heads.nc", "xarray");
  }
  return {std::move(run.summaries), std::move(run.json), std::move(run.files)};
}

}  // namespace toplens
