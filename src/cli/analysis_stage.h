#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <toplens/observer.h>
#include <nlohmann/json.hpp>

#include "corpus/corpus.h"
#include "model/model_config.h"
#include "parallel/thread_pool.h"
#include "results/dataset.h"
#include "results/heads_table.h"
#include "results/run_directory.h"
#include "results/run_manifest.h"

namespace toplens {

/// What a stage asks of a run.
struct StageDemand {
  QuerySelection queries = QuerySelection::last();  ///< whose attention it sees
  std::uint64_t bytes_per_document = 0;             ///< recorded in a part
  std::uint64_t bytes_per_worker = 0;               ///< scratch memory while the model runs
  std::uint64_t result_bytes_per_document = 0;      ///< on disk beside the parts
  double seconds_per_document = 0;                  ///< on one thread
};

/// A stage's share of one pass over some documents.
class StagePass {
 public:
  virtual ~StagePass() = default;
  /// It sees the documents as lanes 0 .. D - 1 and the stage's own lanes after them.
  virtual AttentionObserver& observer() = 0;
  /// More than one, where a stage has them.
  virtual std::vector<AttentionObserver*> observers() { return {&observer()}; }
  /// Token ids of the lanes of its own that go through the model beside the documents.
  virtual std::span<const std::vector<std::int32_t>> own_lanes() const { return {}; }
  /// Adds what was recorded, once the pass is over. The part of the first stage makes the
  /// dimensions document, layer and head.
  virtual void add_to(Dataset& part) = 0;
};

/// The documents of a pass: their numbers in the run and their labels.
struct PassDocuments {
  std::vector<std::uint64_t> numbers;
  std::span<const TokenWindow> windows;
  std::span<const std::string> labels;
};

/// What stages make of all finished parts.
struct PooledRun {
  const RunManifest& manifest;
  ResultSink& results;  ///< where files go
  const PartsReader& parts;
  ThreadPool& threads;
  HeadTable& table;                                        ///< heads.csv
  Dataset& heads;                                          ///< heads.nc
  std::vector<std::string> summaries;                      ///< for the terminal
  nlohmann::ordered_json json;                             ///< of --json
  std::vector<std::pair<std::string, std::string>> files;  ///< written: name, what it is
};

/// One kind of measurement of `analyze`: observes heads while the model runs, leaves its records in
/// the parts, and makes results of all of them. Stages do not know each other.
class AnalysisStage {
 public:
  virtual ~AnalysisStage() = default;
  /// Adds the settings that decide what the parts hold.
  virtual void describe(Protocol& protocol) const = 0;
  virtual StageDemand demand(const ModelConfig& config, int length) const = 0;
  /// Lengths of StagePass::own_lanes() for one document.
  virtual std::vector<int> own_lane_lengths(std::uint64_t /*document*/) const { return {}; }
  virtual std::unique_ptr<StagePass> begin(PassDocuments documents) const = 0;
  virtual void pool(PooledRun& run) const = 0;
};

using AnalysisStages = std::vector<std::unique_ptr<AnalysisStage>>;

}  // namespace toplens
