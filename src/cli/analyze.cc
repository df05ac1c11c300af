#include "cli/analyze.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <netcdf.h>
#include <toplens/error.h>
#include <dnnl.hpp>

#include "cli/run_estimate.h"
#include "cli/shown_document.h"
#include "cli/terminal.h"
#include "geometry/geometry_observer.h"
#include "parallel/memory.h"
#include "results/digest.h"
#include "results/fits_dataset.h"
#include "results/geometry_dataset.h"
#include "results/geometry_part.h"
#include "results/heads_table.h"
#include "results/profiles_dataset.h"
#include "results/run_directory.h"
#include "results/theory_part.h"
#include "theory/assumption_observer.h"

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
  text.loaded = arguments.text.load(model);
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
                          const RunText& text, const GeometryOptions& geometry) {
  RunManifest manifest;
  manifest.command_line = arguments.command_line;
  manifest.started = utc_now();
  manifest.library_versions = library_versions();
  manifest.model.path = session.model().directory();
  manifest.model.config = session.config();
  manifest.model.digests = digest_checkpoint(
      session.model().directory(), session.model().tensors().files(), text.loaded.tokenizer_file);
  manifest.text = text.record;
  manifest.protocol.set_sizes = geometry.set_sizes;
  for (const Ranking ranking : geometry.rankings) {
    manifest.protocol.rankings.emplace_back(name(ranking));
  }
  for (const Distance distance : geometry.distances) {
    manifest.protocol.distances.emplace_back(name(distance));
  }
  for (const auto& metric : kGeometryMetricNames) {
    if (metric.kind == GeometryMetric::inversions && !geometry.with_inversions) continue;
    manifest.protocol.metrics.emplace_back(metric.name);
  }
  manifest.protocol.queries = arguments.geometry.queries;
  manifest.protocol.random_repeats = geometry.random_repeats;
  manifest.protocol.random_at_all_queries = geometry.random_at_all_queries;
  manifest.protocol.seed = geometry.seed;
  manifest.protocol.compute = name(session.compute());
  manifest.threads = session.pool().size();
  manifest.memory_budget_bytes = session.memory_bytes();
  manifest.documents_per_part = static_cast<int>(kDocumentsPerPart);
  return manifest;
}

std::size_t num_parts(std::size_t documents) {
  return (documents + kDocumentsPerPart - 1) / kDocumentsPerPart;
}

/// Bytes that the measured geometry of one document takes in a part.
std::uint64_t geometry_bytes(const ModelConfig& config, const GeometryOptions& options) {
  const std::uint64_t cells = static_cast<std::uint64_t>(config.num_layers) *
                              static_cast<std::uint64_t>(config.num_query_heads) *
                              options.rankings.size() * options.distances.size() *
                              options.set_sizes.size();
  return cells * sizeof(float) * kSeparabilityMetrics.size();
}

/// Records for the theory, of the final query; none where it is off or no set size is defined.
std::optional<AssumptionOptions> theory_options(const AnalyzeArguments& arguments,
                                                const GeometryOptions& geometry,
                                                const RunText& text) {
  const auto length = static_cast<std::size_t>(text.loaded.context_length);
  if (arguments.theory == "off" || defined_set_sizes(geometry.set_sizes, length).empty()) {
    return std::nullopt;
  }
  AssumptionOptions options;
  options.set_sizes = geometry.set_sizes;
  options.rankings = geometry.rankings;
  options.seed = geometry.seed;
  return options;
}

/// Bytes of the records of one document.
std::uint64_t theory_bytes(const ModelConfig& config,
                           const std::optional<AssumptionOptions>& theory, int length) {
  if (!theory) return 0;
  ObservedPass pass;
  pass.num_layers = config.num_layers;
  pass.num_query_heads = config.num_query_heads;
  pass.num_kv_heads = config.num_kv_heads;
  pass.head_dim = config.head_dim;
  pass.lane_lengths = {length};
  return bytes_per_document(recorded_shape(*theory, pass));
}

EnginePlan plan_run(const ModelSession& session, const RunText& text,
                    const GeometryOptions& geometry, QuerySelection queries,
                    const std::optional<AssumptionOptions>& theory) {
  std::vector<std::size_t> lengths;
  for (const TokenWindow& window : text.windows) lengths.push_back(window.token_ids.size());
  GeometryObserver observer(geometry, queries, {});
  const std::array<AttentionObserver*, 1> observers = {&observer};
  const auto length = static_cast<std::uint64_t>(lengths.front());
  EngineDemand demand;
  demand.kept_queries = kept_queries(observers, static_cast<int>(length));
  demand.observer_bytes_per_lane =
      2 * (geometry_bytes(session.config(), geometry) +
           theory_bytes(session.config(), theory, text.loaded.context_length));
  demand.observer_bytes_per_worker =
      observer.bytes_per_worker(static_cast<int>(length), session.config().head_dim,
                                session.config().num_query_heads / session.config().num_kv_heads);
  if (theory) {
    demand.observer_bytes_per_worker += AssumptionObserver::bytes_per_worker(
        length, static_cast<std::size_t>(session.config().head_dim), geometry.set_sizes.size());
  }
  demand.lanes_wanted = static_cast<int>(std::min(kDocumentsPerPart, text.windows.size()));
  return session.plan(lengths, demand);
}

/// One part: its documents in as many passes as the memory budget asks for.
class PartRunner {
 public:
  PartRunner(ModelSession& session, const EnginePlan& plan, const RunText& text,
             const GeometryOptions& geometry, QuerySelection queries,
             const std::optional<AssumptionOptions>& theory)
      : plan_(plan),
        text_(text),
        geometry_(geometry),
        queries_(queries),
        theory_(theory),
        pass_(session.model(), session.pool(), plan) {}

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

  std::uint64_t layer_forwards() const { return pass_.layer_lane_forwards(); }

 private:
  Dataset run_batch(std::size_t begin, std::size_t end, AnalyzeListener& listener) {
    std::vector<Lane> lanes;
    std::vector<std::uint64_t> documents;
    for (std::size_t document = begin; document < end; ++document) {
      lanes.push_back({text_.windows[document].token_ids});
      documents.push_back(document);
    }
    GeometryObserver observer(geometry_, queries_, documents);
    std::vector<AttentionObserver*> observers = {&observer};
    std::optional<AssumptionObserver> assumptions;
    if (theory_) observers.push_back(&assumptions.emplace(*theory_, documents));
    pass_.run(lanes, observers, &listener);
    Dataset part = geometry_part(geometry_, observer.results(),
                                 std::span(text_.labels).subspan(begin, end - begin));
    if (assumptions) add_theory_records(part, assumptions->records());
    return part;
  }

  const EnginePlan& plan_;
  const RunText& text_;
  const GeometryOptions& geometry_;
  QuerySelection queries_;
  const std::optional<AssumptionOptions>& theory_;
  ForwardPass pass_;
};

std::string estimate(ModelSession& session, const EnginePlan& plan, const RunText& text,
                     std::size_t documents, const GeometryOptions& geometry, QuerySelection queries,
                     const std::optional<AssumptionOptions>& theory) {
  const int length = text.loaded.context_length;
  const double forward = forward_operations(session.config(), length) / session.product_rate(plan);
  const double observing = estimate_geometry_seconds(session.config(), geometry, queries, length) /
                           session.pool().size();
  const double seconds = static_cast<double>(documents) * (forward + observing);
  const std::uint64_t disk = (2 * geometry_bytes(session.config(), geometry) +
                              theory_bytes(session.config(), theory, text.loaded.context_length)) *
                             text.windows.size();
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
Dataset pool(RunDirectory& directory, const RunManifest& manifest, const RunText& text,
             ThreadPool& threads) {
  const Dataset parts =
      directory.read_parts(static_cast<int>(num_parts(manifest.text.windows.size())));
  const Dataset geometry = manifest.protocol.theory ? without_theory_records(parts) : parts;
  directory.write_dataset("geometry.nc", geometry);
  const ModelConfig& config = manifest.model.config;
  HeadTable table(config.num_layers, config.num_query_heads);
  add_head_columns(table, config.num_kv_heads, manifest.text.windows.size());
  BootstrapOptions bootstrap;
  bootstrap.seed = manifest.protocol.seed;
  add_geometry_columns(table, GeometryView(geometry), bootstrap);
  if (manifest.protocol.theory) {
    const AssumptionView records = theory_records(parts);
    const std::vector<HeadFit> fits = fit_heads(records, manifest.protocol.seed, threads);
    directory.write_dataset("heads.nc", make_fits_dataset(fits, records.shape));
    directory.write_dataset(
        "profiles.nc",
        make_profiles_dataset(records, fits,
                              shown_document(manifest.model.path, text.windows.front().token_ids,
                                             text.labels.front())));
    add_fit_columns(table, fits);
  }
  directory.write_text("heads.csv", table.to_csv());
  return geometry;
}

}  // namespace

AnalyzeOutcome analyze(const AnalyzeArguments& arguments, AnalyzeListener& listener) {
  const Stopwatch whole;
  GeometryOptions geometry =
      arguments.geometry.options(arguments.geometry.query_selection().is_last());
  geometry.random_at_all_queries = arguments.random_all_queries;
  const QuerySelection queries = arguments.geometry.query_selection();
  ModelSession session = arguments.engine.open();
  const RunText text = choose_windows(arguments, session.model(), listener);
  report_undefined_sizes(geometry, text, session.config(), listener);
  const std::optional<AssumptionOptions> theory = theory_options(arguments, geometry, text);
  const EnginePlan plan = plan_run(session, text, geometry, queries, theory);

  AnalyzeOutcome outcome;
  RunManifest& manifest = outcome.manifest;
  manifest = make_manifest(arguments, session, text, geometry);
  manifest.protocol.theory = theory.has_value();
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
    listener.note(estimate(session, plan, text, remaining, geometry, queries, theory));
    listener.start(layers * remaining,
                   static_cast<double>(text.loaded.context_length) / static_cast<double>(layers));
    const Stopwatch measuring;
    PartRunner runner(session, plan, text, geometry, queries, theory);
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
  outcome.geometry = pool(directory, manifest, text, session.pool());
  manifest.timings.push_back({"pool", pooling.seconds()});
  manifest.cpu_seconds = process_cpu_seconds();
  manifest.peak_resident_bytes = process_memory().peak_resident_bytes;
  manifest.complete = true;
  directory.write_manifest(manifest);
  return outcome;
}

}  // namespace toplens
