#include "cli/analyze.h"

#include <algorithm>
#include <chrono>
#include <list>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <netcdf.h>
#include <toplens/error.h>
#include <dnnl.hpp>

#include "cli/geometry_stage.h"
#include "cli/measures_stage.h"
#include "cli/shown_document.h"
#include "cli/terminal.h"
#include "cli/theory_stage.h"
#include "observe/lane_range_observer.h"
#include "parallel/memory.h"
#include "report/report_page.h"
#include "results/digest.h"
#include "results/fits_dataset.h"
#include "results/heads_table.h"
#include "results/run_directory.h"

namespace toplens {
namespace {

/// Documents of one part: what an interruption can lose.
constexpr std::size_t kDocumentsPerPart = 8;

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// The windows of a run and how they are recorded.
struct RunText {
  LoadedText loaded;
  std::vector<TokenWindow> windows;
  TextRecord record;
  std::vector<std::string> labels;  ///< of the document dimension
};

RunText choose_windows(const AnalyzeArguments& arguments, const CheckpointModel& model,
                       AnalyzeListener& listener) {
  RunText text;
  TextArguments text_arguments = arguments.text;
  if (text_arguments.context_length == 0 && text_arguments.tokens.empty()) {
    text_arguments.context_length = arguments.measures.longest();
  }
  text.loaded = text_arguments.load(model);
  std::vector<TokenWindow> windows = cut_windows(text.loaded.documents, text.loaded.context_length,
                                                 text.loaded.bos_id, BosPolicy::window, false);
  const std::size_t available = windows.size();
  if (available == 0) {
    std::size_t longest = 0;
    for (const Document& document : text.loaded.documents) {
      longest = std::max(longest, document.token_ids.size());
    }
    throw Error(
        fmt::format("{}: too short for one window of {} tokens{}: the longest document has "
                    "{} tokens (try a smaller --context-length)",
                    text.loaded.path.string(), text.loaded.context_length,
                    text.loaded.bos_id ? ", BOS included" : "", longest));
  }
  const auto wanted = static_cast<std::size_t>(arguments.documents);
  if (available < wanted) {
    listener.note(fmt::format("note: {} has {} full window{} of {} tokens, used instead of {}",
                              text.loaded.path.string(), available, available == 1 ? "" : "s",
                              text.loaded.context_length, wanted));
  }
  text.windows = sample_windows(std::move(windows), wanted);
  text.record = describe_text(text.loaded.documents, text.windows, available);
  text.record.path = text.loaded.path;
  text.record.kind = text.loaded.kind;
  text.record.bos_id = text.loaded.bos_id;
  text.record.bos_source = text.loaded.bos_source;
  for (const WindowRecord& window : text.record.windows) {
    text.labels.push_back(window_label(window));
  }
  return text;
}

std::map<std::string, std::string> library_versions() {
  const dnnl_version_t* dnnl = dnnl_version();
  return {{"oneDNN", fmt::format("{}.{}.{}", dnnl->major, dnnl->minor, dnnl->patch)},
          {"netCDF", nc_inq_libvers()}};
}

RunManifest make_manifest(const AnalyzeArguments& arguments, ModelSession& session,
                          const RunText& text, const AnalysisStages& stages) {
  RunManifest manifest;
  manifest.command_line = arguments.command_line;
  manifest.started = utc_now();
  manifest.library_versions = library_versions();
  manifest.model.path = session.model().directory();
  manifest.model.config = session.config();
  manifest.model.digests = digest_checkpoint(
      session.model().directory(), session.model().tensors().files(), text.loaded.tokenizer_file);
  manifest.text = text.record;
  manifest.protocol.queries = arguments.geometry.queries;
  manifest.protocol.compute = name(session.compute());
  for (const auto& stage : stages) stage->describe(manifest.protocol);
  manifest.threads = session.pool().size();
  manifest.memory_budget_bytes = session.memory_bytes();
  manifest.documents_per_part = static_cast<int>(kDocumentsPerPart);
  return manifest;
}

std::size_t num_parts(std::size_t documents) {
  return (documents + kDocumentsPerPart - 1) / kDocumentsPerPart;
}

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

/// Lengths of the lanes that go through the model beside one document.
std::vector<int> own_lane_lengths(const AnalysisStages& stages, std::uint64_t document) {
  std::vector<int> lengths;
  for (const auto& stage : stages) {
    const std::vector<int> own = stage->own_lane_lengths(document);
    lengths.insert(lengths.end(), own.begin(), own.end());
  }
  return lengths;
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
  demand.lanes_wanted = static_cast<int>(std::min(kDocumentsPerPart, text.windows.size()));
  return session.plan(lengths, demand);
}

/// Tells of a pass in units of documents, whatever lanes stages have beside them.
class DocumentProgress : public ProgressListener {
 public:
  DocumentProgress(ProgressListener& listener, std::size_t documents, std::size_t lanes)
      : listener_(listener), documents_(documents), lanes_(lanes) {}
  void advance(std::uint64_t done, std::uint64_t total) override {
    listener_.advance(done * documents_ / lanes_, total * documents_ / lanes_);
  }

 private:
  ProgressListener& listener_;
  std::size_t documents_, lanes_;
};

/// One part: its documents in as many passes as the memory budget asks for.
class PartRunner {
 public:
  PartRunner(ModelSession& session, const EnginePlan& plan, const RunText& text,
             const AnalysisStages& stages)
      : plan_(plan), text_(text), stages_(stages), pass_(session.model(), session.pool(), plan) {}

  Dataset run(std::size_t first, std::size_t count, AnalyzeListener& listener) {
    std::vector<Dataset> pieces;
    std::vector<std::string> names;
    const auto batch = static_cast<std::size_t>(plan_.lanes_per_batch);
    for (std::size_t begin = first; begin < first + count; begin += batch) {
      const std::size_t end = std::min(begin + batch, first + count);
      pieces.push_back(run_batch(begin, end, listener));
      names.push_back(fmt::format("documents {} to {}", begin, end - 1));
    }
    return concatenate_documents(pieces, names);
  }

  /// Layers x documents; stages' own lanes are not counted.
  std::uint64_t layer_forwards() const { return layer_forwards_; }

 private:
  Dataset run_batch(std::size_t begin, std::size_t end, AnalyzeListener& listener) {
    std::vector<Lane> lanes;
    PassDocuments documents;
    documents.labels = std::span(text_.labels).subspan(begin, end - begin);
    documents.windows = std::span(text_.windows).subspan(begin, end - begin);
    for (std::size_t document = begin; document < end; ++document) {
      lanes.push_back({text_.windows[document].token_ids});
      documents.numbers.push_back(document);
    }
    std::vector<std::unique_ptr<StagePass>> passes;
    std::list<LaneRangeObserver> observed;
    std::vector<AttentionObserver*> observers;
    for (const auto& stage : stages_) {
      passes.push_back(stage->begin(documents));
      const LaneRange own{static_cast<int>(lanes.size()),
                          static_cast<int>(passes.back()->own_lanes().size())};
      for (const std::vector<std::int32_t>& ids : passes.back()->own_lanes())
        lanes.push_back({ids});
      for (AttentionObserver* observer : passes.back()->observers()) {
        observed.emplace_back(*observer,
                              std::vector<LaneRange>{{0, static_cast<int>(end - begin)}, own});
        observers.push_back(&observed.back());
      }
    }
    const std::uint64_t forwards_before = pass_.layer_lane_forwards();
    DocumentProgress progress(listener, end - begin, lanes.size());
    pass_.run(lanes, observers, &progress);
    layer_forwards_ +=
        (pass_.layer_lane_forwards() - forwards_before) * (end - begin) / lanes.size();
    Dataset part;
    for (const auto& pass : passes) pass->add_to(part);
    return part;
  }

  const EnginePlan& plan_;
  const RunText& text_;
  const AnalysisStages& stages_;
  ForwardPass pass_;
  std::uint64_t layer_forwards_ = 0;
};

std::string estimate(ModelSession& session, const EnginePlan& plan, const RunText& text,
                     std::size_t documents, const AnalysisStages& stages,
                     std::span<const StageDemand> demands) {
  const int length = text.loaded.context_length;
  double operations = forward_operations(session.config(), length);
  for (std::size_t document = 0; document < text.windows.size(); ++document) {
    for (const int own : own_lane_lengths(stages, document)) {
      operations +=
          forward_operations(session.config(), own) / static_cast<double>(text.windows.size());
    }
  }
  double seconds = operations / session.product_rate(plan);
  std::uint64_t disk = 0;
  for (const StageDemand& stage : demands) {
    seconds += stage.seconds_per_document / session.pool().size();
    disk += (stage.bytes_per_document + stage.result_bytes_per_document) * text.windows.size();
  }
  seconds *= static_cast<double>(documents);
  return fmt::format(
      "{} document{} of {} tokens through {} layers on {} threads, {} arithmetic: {}, {} of "
      "memory beside {} of mapped weights, {} on disk",
      documents, documents == 1 ? "" : "s", text.loaded.context_length, session.config().num_layers,
      session.pool().size(), name(plan.compute),
      seconds < 1 ? "under 1 s" : "about " + format_duration(1.2 * seconds),
      format_bytes(plan.bytes), format_bytes(session.model().tensors().total_bytes()),
      format_bytes(disk));
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

/// Everything pooled, from the parts alone.
void pool(RunDirectory& directory, const RunManifest& manifest, ThreadPool& threads,
          const AnalysisStages& stages, AnalyzeOutcome& outcome) {
  const PartsReader parts =
      directory.open_parts(static_cast<int>(num_parts(manifest.text.windows.size())));
  const ModelConfig& config = manifest.model.config;
  HeadTable table(config.num_layers, config.num_query_heads);
  add_head_columns(table, config.num_kv_heads, manifest.text.windows.size());
  Dataset heads = make_heads_dataset(static_cast<std::size_t>(config.num_layers),
                                     static_cast<std::size_t>(config.num_query_heads));
  PooledRun run{manifest, directory, parts, threads, table, heads, {}, {}, {}};
  for (const auto& stage : stages) stage->pool(run);
  directory.write_text("heads.csv", table.to_csv());
  run.files.emplace(run.files.begin(), "heads.csv", "one row per head");
  if (!heads.variables().empty()) {
    directory.write_dataset("heads.nc", heads);
    run.files.emplace_back("heads.nc", "xarray");
  }
  run.files.emplace_back("run.json", "protocol");
  outcome.summaries = std::move(run.summaries);
  outcome.json = std::move(run.json);
  outcome.files = std::move(run.files);
}

}  // namespace

AnalyzeOutcome analyze(const AnalyzeArguments& arguments, AnalyzeListener& listener) {
  const Stopwatch whole;
  GeometryOptions geometry =
      arguments.geometry.options(arguments.geometry.query_selection().is_last());
  geometry.random_at_all_queries = arguments.random_all_queries;
  ModelSession session = arguments.engine.open();
  const RunText text = choose_windows(arguments, session.model(), listener);
  report_undefined_sizes(geometry, text, session.config(), listener);
  const AnalysisStages stages = make_stages(arguments, geometry, session.model(), text, listener);
  const std::vector<StageDemand> demands = demands_of(stages, session, text);
  const EnginePlan plan = plan_run(session, text, stages, demands);

  AnalyzeOutcome outcome;
  RunManifest& manifest = outcome.manifest;
  manifest = make_manifest(arguments, session, text, stages);
  RunDirectory directory = arguments.resume ? RunDirectory::resume(arguments.out, manifest)
                                            : RunDirectory::create(arguments.out, manifest);
  const std::size_t documents = text.windows.size();
  std::vector<std::size_t> missing;
  const std::vector<int> finished = directory.finished_parts();
  for (std::size_t part = 0; part < num_parts(documents); ++part) {
    if (!std::binary_search(finished.begin(), finished.end(), static_cast<int>(part))) {
      missing.push_back(part);
    }
  }
  const auto documents_of = [&](std::size_t part) {
    return std::min(kDocumentsPerPart, documents - part * kDocumentsPerPart);
  };
  std::size_t remaining = 0;
  for (const std::size_t part : missing) remaining += documents_of(part);
  const auto layers = static_cast<std::size_t>(session.config().num_layers);
  manifest.timings.push_back({"prepare", whole.seconds()});

  if (remaining > 0) {
    listener.note(estimate(session, plan, text, remaining, stages, demands));
    listener.start(layers * remaining,
                   static_cast<double>(text.loaded.context_length) / static_cast<double>(layers));
    const Stopwatch measuring;
    PartRunner runner(session, plan, text, stages);
    try {
      for (const std::size_t part : missing) {
        directory.write_part(static_cast<int>(part),
                             runner.run(part * kDocumentsPerPart, documents_of(part), listener));
        listener.finish_part(layers * documents_of(part));
        manifest.peak_anonymous_bytes =
            std::max(manifest.peak_anonymous_bytes.value_or(0), process_memory().anonymous_bytes);
      }
    } catch (const Error&) {
      directory.discard_unstarted();
      throw;
    }
    outcome.layer_forwards = runner.layer_forwards();
    manifest.timings.push_back({"measure", measuring.seconds()});
  }

  const Stopwatch pooling;
  pool(directory, manifest, session.pool(), stages, outcome);
  manifest.timings.push_back({"pool", pooling.seconds()});
  manifest.cpu_seconds = process_cpu_seconds();
  manifest.peak_resident_bytes = process_memory().peak_resident_bytes;
  manifest.complete = true;
  directory.write_manifest(manifest);
  write_report({directory.path()}, directory.path() / "report.html");
  outcome.files.emplace_back("report.html", "for a browser");
  return outcome;
}

}  // namespace toplens
