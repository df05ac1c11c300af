#include "cli/measures_stage.h"

#include <cmath>
#include <list>

#include "measures/detectors.h"
#include "measures/measure_observer.h"
#include "measures/mixture_check.h"
#include "observe/lane_range_observer.h"
#include "results/measures_dataset.h"
#include "results/measures_part.h"
#include "results/regime_results.h"

namespace toplens {
namespace {

using TokenIds = std::vector<std::int32_t>;

/// The last `length` tokens of a window, its BOS kept at the front.
TokenIds nested(const TokenWindow& window, int length, std::optional<std::int32_t> bos_id) {
  const std::size_t bos = bos_id && window.token_ids.front() == *bos_id ? 1 : 0;
  const auto& ids = window.token_ids;
  TokenIds tail(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(bos));
  tail.insert(tail.end(), ids.end() - (length - static_cast<std::ptrdiff_t>(bos)), ids.end());
  return tail;
}

SignatureConditions conditions_of(const RegimeThresholds& thresholds) {
  return {static_cast<int>(std::lround(std::ceil(thresholds.least_visible_tokens))),
          thresholds.least_other_mass};
}

class MeasuresPass : public StagePass {
 public:
  MeasuresPass(const MeasuresStageOptions& options, const MeasuredShape& shape,
               const PassDocuments& documents)
      : records_(make_measure_records(shape)) {
    const int count = static_cast<int>(documents.numbers.size());
    MeasureOptions measure;
    measure.set_sizes = options.set_sizes;
    measure.conditions = conditions_of(options.thresholds);
    const std::size_t settings = options.queries.is_last() ? 1 : 2;
    int lane = 0;
    for (std::size_t k = 0; k < options.lengths.size(); ++k) {
      if (k > 0) {
        measure.effective_rank_documents = 0;
        for (const TokenWindow& window : documents.windows) {
          own_lanes_.push_back(nested(window, options.lengths[k], options.bos_id));
        }
      }
      measures_.emplace_back(measure, options.queries, documents.numbers, records_, k * settings);
      ranges_.emplace_back(measures_.back(), std::vector<LaneRange>{{lane, count}});
      lane += count;
    }
    std::vector<std::size_t> rows;
    const std::size_t first_sequence = own_lanes_.size();
    for (std::size_t row = 0; row < documents.numbers.size(); ++row) {
      if (documents.numbers[row] >= options.detector_sequences) continue;
      own_lanes_.push_back(repeated_random_tokens(options.seed, documents.numbers[row],
                                                  options.detector_tokens, options.vocab_size,
                                                  options.bos_id));
      rows.push_back(row);
    }
    if (rows.empty()) return;
    std::vector<std::span<const std::int32_t>> sequences(
        own_lanes_.begin() + static_cast<std::ptrdiff_t>(first_sequence), own_lanes_.end());
    detectors_.emplace(std::move(sequences), rows, records_);
    ranges_.emplace_back(*detectors_,
                         std::vector<LaneRange>{{lane, static_cast<int>(rows.size())}});
  }

  AttentionObserver& observer() override { return ranges_.front(); }
  std::vector<AttentionObserver*> observers() override {
    std::vector<AttentionObserver*> observers;
    for (LaneRangeObserver& range : ranges_) observers.push_back(&range);
    return observers;
  }
  std::span<const TokenIds> own_lanes() const override { return own_lanes_; }
  void add_to(Dataset& part) override { add_measure_records(part, records_); }

 private:
  MeasureRecords records_;
  std::vector<TokenIds> own_lanes_;
  std::list<MeasureObserver> measures_;  // they are referred to
  std::optional<DetectorObserver> detectors_;
  std::list<LaneRangeObserver> ranges_;
};

class MeasuresStage : public AnalysisStage {
 public:
  explicit MeasuresStage(const MeasuresStageOptions& options) : options_(options) {}

  void describe(Protocol& protocol) const override {
    protocol.measures = true;
    protocol.context_lengths = options_.lengths;
    protocol.detector_sequences = static_cast<int>(options_.detector_sequences);
    protocol.detector_tokens = static_cast<int>(options_.detector_tokens);
    for (const RegimeThresholdRow& row : kRegimeThresholds) {
      protocol.regime_thresholds[std::string(row.name)] = options_.thresholds.*row.value;
    }
  }

  StageDemand demand(const ModelConfig& config, int length) const override {
    StageDemand demand;
    demand.queries = options_.queries;
    demand.bytes_per_document = bytes_per_document(shape_of(1));
    demand.bytes_per_worker = options_.lengths.size() *
                              MeasureObserver::bytes_per_worker(
                                  length, config.head_dim,
                                  config.num_query_heads / config.num_kv_heads, options_.queries);
    const int queries = length - options_.queries.first_query(length);
    demand.seconds_per_document = kSecondsPerHeadAndToken * length *
                                  static_cast<double>(options_.lengths.size()) * config.num_layers *
                                  config.num_query_heads * (1.0 + kQueryShare * (queries - 1));
    return demand;
  }

  std::vector<int> own_lane_lengths(std::uint64_t document) const override {
    std::vector<int> lengths(options_.lengths.begin() + 1, options_.lengths.end());
    if (document < options_.detector_sequences) {
      lengths.push_back(static_cast<int>(2 * options_.detector_tokens) + (options_.bos_id ? 1 : 0));
    }
    return lengths;
  }

  std::unique_ptr<StagePass> begin(PassDocuments documents) const override {
    return std::make_unique<MeasuresPass>(options_, shape_of(documents.numbers.size()), documents);
  }

  void pool(PooledRun& run) const override {
    RegimeResults results;
    SummaryStatistics statistics;
    statistics.seed = options_.seed;
    const Dataset parts = run.parts.read(measure_record_names(!options_.set_sizes.empty()));
    const MeasureView records = measure_records(parts);
    results.shape = records.shape;
    results.thresholds = options_.thresholds;
    results.heads = summarize_heads(records, options_.thresholds, statistics, run.threads);
    MixtureOptions mixture;
    mixture.seed = options_.seed;
    results.mixture = check_mixture(results.heads, mixture);
    results.detector_sequences = static_cast<int>(options_.detector_sequences);
    results.detector_tokens = static_cast<int>(options_.detector_tokens);
    {
      std::vector<std::string> names;
      for (const SeparabilityMetric& metric : kSeparabilityMetrics) names.emplace_back(metric.name);
      const Dataset geometry = run.parts.read(names);
      results.curves = regime_curves(GeometryView(geometry), results.heads, statistics);
    }
    results.coverage = regime_coverage(run.heads, results.heads);
    add_measure_variables(run.heads, results.heads, results.shape);
    add_measure_columns(run.table, results.heads, results.shape);
    RankCorrelationOptions correlation;
    correlation.seed = options_.seed;
    for (const ImportedScores& imported : options_.imported) {
      results.imported.push_back(compare_imported(imported, results.heads, correlation));
    }
    add_imported_scores(run.heads, run.table, results.imported);
    const nlohmann::ordered_json json = regimes_json(results);
    run.results.write_text("regimes.json", json.dump(2) + "\n");
    run.files.emplace_back("regimes.json", "regimes by layer");
    run.json["regimes"] = json;
    run.summaries.push_back(regimes_summary(results));
  }

 private:
  // Measured on heads of 1024 tokens and head_dim 128 (bench): the final query, and what each
  // further query takes of it.
  static constexpr double kSecondsPerHeadAndToken = 1.3e-6;
  static constexpr double kQueryShare = 0.05;

  MeasuredShape shape_of(std::size_t documents) const {
    MeasuredShape shape;
    shape.documents = documents;
    shape.layers = static_cast<std::size_t>(options_.num_layers);
    shape.heads = static_cast<std::size_t>(options_.num_query_heads);
    shape.settings = measure_settings(options_.lengths, options_.queries_name);
    shape.set_sizes = options_.set_sizes;
    return shape;
  }

  MeasuresStageOptions options_;
};

}  // namespace

std::unique_ptr<AnalysisStage> make_measures_stage(const MeasuresStageOptions& options) {
  return std::make_unique<MeasuresStage>(options);
}

}  // namespace toplens
