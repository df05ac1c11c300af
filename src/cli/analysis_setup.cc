#include "cli/analysis_setup.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "cli/geometry_stage.h"
#include "cli/interrupt.h"
#include "cli/library_versions.h"
#include "cli/measures_stage.h"
#include "cli/part_runner.h"
#include "cli/shown_document.h"
#include "cli/terminal.h"
#include "cli/theory_stage.h"
#include "parallel/memory.h"
#include "results/digest.h"

namespace toplens {
namespace {

MeasuresStageOptions measures_options(const AnalyzeArguments& arguments,
                                      const GeometryOptions& geometry, const RunText& text,
                                      const ModelConfig& config, AnalyzeListener& listener) {
  MeasuresStageOptions options;
  options.num_layers = config.num_layers;
  options.num_query_heads = config.num_query_heads;
  options.vocab_size = config.vocab_size;
  options.set_sizes =
      defined_set_sizes(geometry.set_sizes, static_cast<std::size_t>(text.loaded.context_length));
  options.queries = arguments.geometry.query_selection();
  options.queries_name = arguments.geometry.queries;
  options.lengths = arguments.measures.lengths(text.loaded.context_length);
  options.thresholds = arguments.measures.regime_thresholds();
  options.imported = arguments.measures.imported_scores(config);
  options.bos_id = text.loaded.bos_id;
  const auto begins_with_bos = [&](const TokenWindow& window) {
    return config.bos_token_id && window.token_ids.front() == *config.bos_token_id;
  };
  // Token ids are used as they are; where all begin with the model's BOS, that is what it is.
  if (!text.loaded.bos_id &&
      std::all_of(text.windows.begin(), text.windows.end(), begins_with_bos)) {
    options.bos_id = config.bos_token_id;
  }
  options.seed = geometry.seed;
  const int most = (config.max_position_embeddings - (options.bos_id ? 1 : 0)) / 2;
  const int tokens = std::min(arguments.measures.detector_tokens, most);
  if (tokens < arguments.measures.detector_tokens && arguments.measures.detector_sequences > 0) {
    listener.note(
        fmt::format("note: {} repeated random tokens instead of {}: the model has {} "
                    "positions",
                    tokens, arguments.measures.detector_tokens, config.max_position_embeddings));
  }
  options.detector_tokens = static_cast<std::size_t>(tokens);
  options.detector_sequences =
      tokens > 0 ? static_cast<std::size_t>(arguments.measures.detector_sequences) : 0;
  return options;
}

/// One line for each set size that no document of this length can have.
void report_undefined_sizes(const GeometryOptions& geometry, const RunText& text,
                            const ModelConfig& config, AnalyzeListener& listener) {
  int visible = text.loaded.context_length;
  for (const int window : config.layer_window) {
    if (window > 0) visible = std::min(visible, window);
  }
  for (const int size : geometry.set_sizes) {
    if (size >= text.loaded.context_length) {
      listener.note(fmt::format("note: set size {} is not defined: the final query sees {} tokens",
                                size, text.loaded.context_length));
    } else if (size >= visible) {
      listener.note(
          fmt::format("note: set size {} is not defined in layers with a sliding window: "
                      "the final query sees {} tokens there",
                      size, visible));
    }
  }
}

/// What is measured, in the order of the summaries.
AnalysisStages make_stages(const AnalyzeArguments& arguments, const GeometryOptions& geometry,
                           const CheckpointModel& model, const RunText& text,
                           AnalyzeListener& listener) {
  const QuerySelection queries = arguments.geometry.query_selection();
  AnalysisStages stages;
  stages.push_back(make_geometry_stage(geometry, queries));
  const auto length = static_cast<std::size_t>(text.loaded.context_length);
  if (arguments.theory == "on" && !defined_set_sizes(geometry.set_sizes, length).empty()) {
    stages.push_back(make_theory_stage(
        geometry, queries, arguments.predictions.options(geometry.seed),
        shown_document(model.directory(), text.windows.front().token_ids, text.labels.front())));
  }
  if (arguments.measures.measures == "on") {
    stages.push_back(
        make_measures_stage(measures_options(arguments, geometry, text, model.config(), listener)));
  }
  return stages;
}

std::vector<StageDemand> demands_of(const AnalysisStages& stages, const ModelSession& session,
                                    const RunText& text) {
  std::vector<StageDemand> demands;
  for (const auto& stage : stages) {
    demands.push_back(stage->demand(session.config(), text.loaded.context_length));
  }
  return demands;
}

EnginePlan plan_run(const ModelSession& session, const RunText& text, const AnalysisStages& stages,
                    std::span<const StageDemand> demands) {
  std::vector<std::size_t> lengths;
  EngineDemand demand;
  std::uint64_t most_tokens = 0;
  int longest_own = 0;
  for (std::size_t document = 0; document < text.windows.size(); ++document) {
    lengths.push_back(text.windows[document].token_ids.size());
    std::uint64_t tokens = 0;
    for (const int length : own_lane_lengths(stages, document)) {
      lengths.push_back(static_cast<std::size_t>(length));
      tokens += static_cast<std::uint64_t>(length);
      longest_own = std::max(longest_own, length);
    }
    most_tokens = std::max(most_tokens, tokens);
  }
  // A stage's own lanes share their document's place in a batch; it may want to see all of them.
  demand.observer_bytes_per_lane =
      4 * most_tokens * static_cast<std::uint64_t>(session.config().hidden_size);
  demand.kept_queries = kept_queries(QuerySelection::all(), longest_own);
  for (const StageDemand& stage : demands) {
    demand.kept_queries =
        std::max(demand.kept_queries, kept_queries(stage.queries, text.loaded.context_length));
    demand.observer_bytes_per_lane += 2 * stage.bytes_per_document;
    demand.observer_bytes_per_worker += stage.bytes_per_worker;
  }
  demand.lanes_wanted = static_cast<int>(std::min(kMostDocumentsPerPart, text.windows.size()));
  return session.plan(lengths, demand);
}

GeometryOptions geometry_options(const AnalyzeArguments& arguments) {
  GeometryOptions geometry =
      arguments.geometry.options(arguments.geometry.query_selection().is_last());
  geometry.random_at_all_queries = arguments.random_all_queries;
  return geometry;
}

}  // namespace

AnalysisSetup::AnalysisSetup(const AnalyzeArguments& arguments, AnalyzeListener& listener)
    : arguments_(arguments), session_(arguments.engine.open()) {
  const GeometryOptions geometry = geometry_options(arguments);
  text_ = choose_windows(arguments, session_.model(), listener);
  report_undefined_sizes(geometry, text_, session_.config(), listener);
  stages_ = make_stages(arguments, geometry, session_.model(), text_, listener);
  demands_ = demands_of(stages_, session_, text_);
  plan_ = plan_run(session_, text_, stages_, demands_);
}

RunManifest AnalysisSetup::manifest() {
  RunManifest manifest;
  manifest.command_line = arguments_.command_line;
  std::error_code unknown;  // then it stays empty
  manifest.working_directory = std::filesystem::current_path(unknown);
  manifest.started = utc_now();
  manifest.library_versions = library_versions();
  manifest.model.path = session_.model().directory();
  manifest.model.config = session_.config();
  manifest.model.digests =
      digest_checkpoint(session_.model().directory(), session_.model().tensors().files(),
                        text_.loaded.tokenizer_file);
  manifest.text = text_.record;
  manifest.protocol.queries = arguments_.geometry.queries;
  manifest.protocol.compute = name(session_.compute());
  for (const auto& stage : stages_) stage->describe(manifest.protocol);
  manifest.threads = session_.pool().size();
  manifest.memory_budget_bytes = session_.memory_bytes();
  return manifest;
}

std::map<std::string, std::string> AnalysisSetup::digest_weights() const {
  return digest_weight_files(session_.model().tensors().files(), check_interrupt);
}

std::string AnalysisSetup::estimate(std::size_t documents, std::size_t processes) {
  const int length = text_.loaded.context_length;
  double operations = forward_operations(session_.config(), length);
  for (std::size_t document = 0; document < text_.windows.size(); ++document) {
    for (const int own : own_lane_lengths(stages_, document)) {
      operations +=
          forward_operations(session_.config(), own) / static_cast<double>(text_.windows.size());
    }
  }
  double seconds = operations / session_.product_rate(plan_);
  std::uint64_t disk = 0;
  for (const StageDemand& stage : demands_) {
    seconds += stage.seconds_per_document / session_.pool().size();
    disk += (stage.bytes_per_document + stage.result_bytes_per_document) * text_.windows.size();
  }
  seconds *= static_cast<double>(documents) / static_cast<double>(processes);
  const std::string threads = processes == 1 ? fmt::format("{} threads", session_.pool().size())
                                             : fmt::format("{} ranks like rank 0 with {} threads",
                                                           processes, session_.pool().size());
  return fmt::format(
      "{} document{} of {} tokens through {} layers on {}, {} arithmetic: {}, {} of "
      "memory beside {} of mapped weights, {} on disk",
      documents, documents == 1 ? "" : "s", text_.loaded.context_length,
      session_.config().num_layers, threads, name(plan_.compute),
      seconds < 1 ? "under 1 s" : "about " + format_duration(1.2 * seconds),
      format_bytes(plan_.bytes), format_bytes(session_.model().tensors().total_bytes()),
      format_bytes(disk));
}

}  // namespace toplens
