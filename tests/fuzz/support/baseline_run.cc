#include "fuzz/support/baseline_run.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include <toplens/error.h>

#include "base/random.h"
#include "fuzz/support/scratch_file.h"
#include "io/atomic_file.h"
#include "measures/mixture_check.h"
#include "report/report_page.h"
#include "report/synthetic_run.h"
#include "results/budget_file.h"
#include "results/fits_dataset.h"
#include "results/geometry_dataset.h"
#include "results/intervention_files.h"
#include "results/measures_dataset.h"
#include "results/measures_part.h"
#include "results/netcdf_file.h"
#include "results/regime_results.h"
#include "results/run_directory.h"
#include "results/theory_dataset.h"
#include "results/theory_json.h"
#include "results/theory_part.h"
#include "results/theory_pool.h"
#include "results/theory_text.h"

namespace toplens::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLayers = 2, kHeads = 2, kKvHeads = 1, kTokens = 12, kHeadDim = 4;
constexpr std::size_t kDocuments = 8;  // as many as the fits need
constexpr int kContextLength = static_cast<int>(kTokens);
const std::vector<int> kSetSizes = {1, 2};

void fill(std::span<float> values, Random& random) {
  for (float& value : values) value = static_cast<float>(random.uniform());
}

Dataset geometry(const std::vector<std::string>& documents, Random& random) {
  GeometryLabels labels;
  labels.documents = documents;
  labels.num_layers = static_cast<int>(kLayers);
  labels.num_heads = static_cast<int>(kHeads);
  labels.rankings = {"attention", "random"};
  labels.distances = {"euclidean"};
  labels.set_sizes = kSetSizes;
  Dataset dataset = make_geometry_dataset(labels);
  for (const std::string_view metric : kGeometryMetrics) {
    fill(dataset.mutable_values<float>(metric), random);
  }
  return dataset;
}

void add_records(Dataset& part, std::size_t documents, Random& random) {
  RecordedShape shape;
  shape.documents = documents;
  shape.layers = kLayers;
  shape.heads = kHeads;
  shape.kv_heads = kKvHeads;
  shape.head_dim = kHeadDim;
  shape.layout.length = kTokens;
  shape.layout.rankings = {Ranking::attention, Ranking::random};
  shape.layout.set_sizes = kSetSizes;
  AssumptionRecords records = make_assumption_records(shape);
  for (std::vector<float>* values :
       {&records.weights, &records.value_norms, &records.lag_cosines, &records.sink_cosines,
        &records.effective_ranks, &records.sink_aggregate_cosines, &records.near_duplicates,
        &records.selected_cosines, &records.competitor_cosines, &records.other_cosines}) {
    fill(*values, random);
  }
  for (std::vector<double>* values : {&records.aggregate_norms, &records.sink_aggregate_norms}) {
    for (double& value : *values) value = random.uniform();
  }
  add_theory_records(part, records);
  MeasuredShape measured;
  measured.documents = documents;
  measured.layers = kLayers;
  measured.heads = kHeads;
  measured.settings =
      measure_settings(std::vector<int>{kContextLength, kContextLength / 2}, "last");
  measured.set_sizes = kSetSizes;
  MeasureRecords measures = make_measure_records(measured);
  fill(measures.measures, random);
  fill(measures.size_measures, random);
  fill(measures.detectors, random);
  add_measure_records(part, measures);
}

/// The fewest draws with which everything is still computed.
RunTheoryOptions quick_options(std::uint64_t seed) {
  RunTheoryOptions options;
  options.seed = seed;
  options.head.envelope.draws = 2;
  options.head.envelope.documents = 1;
  options.head.profile_draws = 1;
  options.head.scalar_draws = 2;
  return options;
}

RegimeResults pooled_measures(const PartsReader& parts) {
  const Dataset dataset = parts.read(measure_record_names(true));
  const MeasureView records = measure_records(dataset);
  SummaryStatistics statistics;
  statistics.resamples = 20;
  ThreadPool pool(1);
  RegimeResults results;
  results.shape = records.shape;
  results.heads = summarize_heads(records, results.thresholds, statistics, pool);
  std::vector<std::string> names(kGeometryMetrics.begin(), kGeometryMetrics.end());
  const Dataset geometry = parts.read(names);
  results.curves = regime_curves(GeometryView(geometry), results.heads, statistics);
  return results;
}

std::map<std::string, std::string, std::less<>>& originals() {
  static std::map<std::string, std::string, std::less<>> files;
  return files;
}

}  // namespace

const BaselineRun& BaselineRun::get() {
  static const BaselineRun run;
  return run;
}

BaselineRun::BaselineRun() : directory_(new_scratch_directory()) {
  manifest_.command_line = {"toplens", "analyze"};
  manifest_.model.path = "models/made-up";
  ModelConfig& config = manifest_.model.config;
  config.architecture = "LlamaForCausalLM";
  config.num_layers = static_cast<int>(kLayers);
  config.num_query_heads = static_cast<int>(kHeads);
  config.num_kv_heads = static_cast<int>(kKvHeads);
  config.head_dim = static_cast<int>(kHeadDim);
  manifest_.text.path = "made-up.txt";
  manifest_.text.context_length = kContextLength;
  for (std::size_t i = 0; i < kDocuments; ++i) {
    manifest_.text.windows.push_back({"made-up.txt", i * kTokens, kTokens});
  }
  manifest_.protocol.queries = "last";
  manifest_.protocol.seed = 2027;
  manifest_.documents_per_part = static_cast<int>(kDocuments / 2);
  intervention_settings_ = {{"model", digests()}, {"seed", 2027}};
  try {
    SyntheticRun synthetic;
    synthetic.layers = kLayers;
    synthetic.heads = kHeads;
    synthetic.kv_heads = kKvHeads;
    synthetic.documents = 1;  // no intervals, whose bootstraps would take most of the time
    synthetic.tokens = kTokens;
    synthetic.set_sizes = kSetSizes;
    write_parts();
    synthetic.write(directory_ / "synthetic");
    write_results();
    write_interventions();
    for (const auto& entry : fs::recursive_directory_iterator(directory_)) {
      if (!entry.is_regular_file()) continue;
      originals()[entry.path().lexically_relative(directory_).string()] =
          read_text_file(entry.path());
    }
    report(*this);
    compared_ = read_compared_run(directory_);
    recompute_theory(*this);
    pool_measures(*this);
    read_budget(*this);
    read_interventions(*this);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "the run that inputs change is refused itself: %s\n", error.what());
    std::abort();
  }
}

void BaselineRun::write_parts() {
  Random random(7);
  RunDirectory run = RunDirectory::create(directory_, manifest_);
  const int parts = static_cast<int>(kDocuments) / manifest_.documents_per_part;
  for (int part = 0; part < parts; ++part) {
    std::vector<std::string> labels;
    for (int d = 0; d < manifest_.documents_per_part; ++d) {
      labels.push_back(window_label(manifest_.text.windows[static_cast<std::size_t>(
          part * manifest_.documents_per_part + d)]));
    }
    Dataset dataset = geometry(labels, random);
    add_records(dataset, labels.size(), random);
    run.write_part(part, std::move(dataset));
  }
  manifest_.complete = true;
  run.write_manifest(manifest_);
}

void BaselineRun::write_results() {
  for (const char* file : {"geometry.nc", "profiles.nc"}) {
    fs::rename(directory_ / "synthetic" / file, directory_ / file);
  }
  const PartsReader parts = PartsReader::of_run(directory_);
  const RegimeResults regimes = pooled_measures(parts);
  write_scratch(directory_ / "regimes.json", regimes_json(regimes).dump());
  // The made-up figures, and the labels that compare reads beside them.
  Dataset heads = read_netcdf(directory_ / "synthetic/heads.nc");
  std::vector<std::int32_t> labels;
  for (const HeadSummary& head : regimes.heads) {
    labels.push_back(static_cast<std::int32_t>(head.regime().label.regime));
  }
  heads.add_variable("regime", {"layer", "head"}, std::move(labels));
  write_netcdf(directory_ / "heads.nc", heads);
  fs::remove_all(directory_ / "synthetic");
  const RunTheoryOptions options = quick_options(2027);
  ThreadPool pool(1);
  write_scratch(directory_ / "theory.json",
                theory_json(pool_theory(parts, options, pool), options).dump());
  KeptTokens kept;
  kept.kept.assign(kLayers * kHeads, 2);
  BudgetResult result;
  result.uniform_at_equal_loss = kept;
  AllocatedBudget budget;
  budget.budget = kept;
  budget.uniform_at_equal_total = kept;
  result.budgets = {budget};
  result.curves.sizes = {1, 2};
  result.curves.increases.assign(kLayers * kHeads, {0.25, 0.125});
  result.needs.assign(kLayers * kHeads, HeadNeed());
  BudgetRecord record;
  record.settings = intervention_settings_;
  record.context_length = kContextLength;
  record.cache_context = kContextLength;
  write_scratch(directory_ / "budget.json", budget_json(record, config(), result).dump());
}

void BaselineRun::write_interventions() {
  InterventionResults results;
  results.scan = Scan::heads;
  results.num_layers = static_cast<int>(kLayers);
  results.num_query_heads = static_cast<int>(kHeads);
  results.protocol.context_lengths = {kContextLength};
  results.protocol.windows = 2;
  results.documents = {"made-up.txt@0", "made-up.txt@12"};
  const auto add = [&](std::optional<SizedIntervention> treatment) {
    InterventionRecord record;
    record.treatment = treatment;
    record.context_length = kContextLength;
    record.document_nll = {2.0, 3.0};
    record.relative_change = 0.1;
    record.interval = Interval{0.05, 0.2};
    results.records.push_back(std::move(record));
  };
  add(std::nullopt);
  Intervention intervention;
  for (const int size : kSetSizes) add(SizedIntervention{intervention, size});
  for (int layer = 0; layer < results.num_layers; ++layer) {
    for (int head = 0; head < results.num_query_heads; ++head) {
      intervention.scope = Scope::one_head({layer, head});
      add(SizedIntervention{intervention, 1});
    }
  }
  InterventionFiles files(directory_, intervention_settings_, {"toplens", "intervene"}, false);
  files.finish(results);
}

void BaselineRun::replace(std::string_view file, std::string_view contents) const {
  write_scratch(directory_ / file, contents);
}

void BaselineRun::restore(std::string_view file) const {
  replace(file, originals().find(file)->second);
}

void report(const BaselineRun& run) {
  write_report({run.directory()}, run.directory() / "report.html");
}

void compare(const BaselineRun& run) {
  const std::vector<ComparedRun> runs = {read_compared_run(run.directory()), run.compared()};
  comparison_text(runs);
  comparison_csv(runs);
}

void recompute_theory(const BaselineRun& run) {
  const RunTheoryOptions options = quick_options(recorded_seed(read_run_json(run.directory())));
  const PartsReader parts = PartsReader::of_run(run.directory());
  if (!has_theory_records(parts)) return;
  ThreadPool pool(1);
  const PooledTheory theory = pool_theory(parts, options, pool);
  Dataset heads = make_heads_dataset(theory.run.layers, theory.run.heads);
  add_fit_variables(heads, theory.run.fits, theory.shape);
  add_theory_variables(heads, theory, options);
  theory_json(theory, options).dump();
  theory_summary(theory, options);
}

void pool_measures(const BaselineRun& run) {
  const RegimeResults results = pooled_measures(PartsReader::of_run(run.directory()));
  Dataset heads = make_heads_dataset(results.shape.layers, results.shape.heads);
  add_measure_variables(heads, results.heads, results.shape);
  regimes_json(results).dump();
  regimes_summary(results);
}

void read_budget(const BaselineRun& run) {
  read_budgets(run.directory() / "budget.json", run.config(), run.digests());
}

void read_interventions(const BaselineRun& run) {
  read_evaluations(run.directory(), run.intervention_settings(), kContextLength);
}

}  // namespace toplens::testing
