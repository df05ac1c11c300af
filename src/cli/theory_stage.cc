#include "cli/theory_stage.h"

#include <algorithm>
#include <optional>

#include "cli/interrupt.h"
#include "geometry/geometry_observer.h"
#include "results/fits_dataset.h"
#include "results/geometry_part.h"
#include "results/profiles_dataset.h"
#include "results/theory_dataset.h"
#include "results/theory_json.h"
#include "results/theory_part.h"
#include "results/theory_pool.h"
#include "results/theory_text.h"
#include "theory/assumption_observer.h"

namespace toplens {
namespace {

/// Shows each head to several observers.
class ObserverList : public AttentionObserver {
 public:
  explicit ObserverList(std::vector<AttentionObserver*> observers)
      : observers_(std::move(observers)) {}
  QuerySelection queries() const override { return QuerySelection::last(); }
  void begin(const ObservedPass& pass) override {
    for (AttentionObserver* observer : observers_) observer->begin(pass);
  }
  void observe(const HeadView& view, int worker) override {
    for (AttentionObserver* observer : observers_) observer->observe(view, worker);
  }
  void end() override {
    for (AttentionObserver* observer : observers_) observer->end();
  }

 private:
  std::vector<AttentionObserver*> observers_;
};

class TheoryPass : public StagePass {
 public:
  TheoryPass(const AssumptionOptions& options, const std::optional<GeometryOptions>& final_geometry,
             const PassDocuments& documents)
      : labels_(documents.labels), assumptions_(options, documents.numbers) {
    std::vector<AttentionObserver*> observers = {&assumptions_};
    if (final_geometry) {
      observers.push_back(
          &geometry_.emplace(*final_geometry, QuerySelection::last(), documents.numbers));
    }
    observers_.emplace(std::move(observers));
  }
  AttentionObserver& observer() override { return *observers_; }
  void add_to(Dataset& part) override {
    add_theory_records(part, assumptions_.records());
    if (geometry_) {
      add_final_query_geometry(part,
                               geometry_part(geometry_->options(), geometry_->results(), labels_));
    }
  }

 private:
  std::span<const std::string> labels_;
  AssumptionObserver assumptions_;
  std::optional<GeometryObserver> geometry_;
  std::optional<ObserverList> observers_;
};

class TheoryStage : public AnalysisStage {
 public:
  TheoryStage(const GeometryOptions& measured, QuerySelection queries,
              const RunTheoryOptions& options, ShownDocument shown)
      : options_(options), shown_(std::move(shown)) {
    assumptions_.set_sizes = measured.set_sizes;
    assumptions_.rankings = measured.rankings;
    assumptions_.seed = measured.seed;
    const auto& distances = measured.distances;
    const bool euclidean =
        std::find(distances.begin(), distances.end(), Distance::euclidean) != distances.end();
    if (queries.is_last() && euclidean) return;
    final_geometry_ = measured;
    final_geometry_->distances = {Distance::euclidean};
    final_geometry_->with_inversions =
        true;  // theory.md (8) needs them, and of one query they cost little
  }

  void describe(Protocol& protocol) const override { protocol.theory = true; }

  StageDemand demand(const ModelConfig& config, int length) const override {
    ObservedPass pass;
    pass.num_layers = config.num_layers;
    pass.num_query_heads = config.num_query_heads;
    pass.num_kv_heads = config.num_kv_heads;
    pass.head_dim = config.head_dim;
    pass.lane_lengths = {length};
    StageDemand demand;
    demand.bytes_per_document = bytes_per_document(recorded_shape(assumptions_, pass));
    demand.bytes_per_worker = AssumptionObserver::bytes_per_worker(
        static_cast<std::size_t>(length), static_cast<std::size_t>(config.head_dim),
        assumptions_.set_sizes.size());
    if (final_geometry_) {
      demand.bytes_per_worker +=
          GeometryObserver(*final_geometry_, QuerySelection::last(), {})
              .bytes_per_worker(length, config.head_dim,
                                config.num_query_heads / config.num_kv_heads);
    }
    return demand;
  }

  std::unique_ptr<StagePass> begin(PassDocuments documents) const override {
    return std::make_unique<TheoryPass>(assumptions_, final_geometry_, documents);
  }

  void pool(PooledRun& run) const override {
    ProfilesBuilder profiles(run.parts.dimension_size("layer"), shown_);
    const PooledTheory theory =
        pool_theory(run.parts, options_, run.threads,
                    [&](const AssumptionView& records, const RunTheory& layer) {
                      check_interrupt();
                      profiles.add_layer(records, layer.fits);
                    });
    run.results.write_dataset("profiles.nc", profiles.dataset());
    add_fit_variables(run.heads, theory.run.fits, theory.shape);
    add_theory_variables(run.heads, theory, options_);
    add_fit_columns(run.table, theory.run.fits);
    add_theory_columns(run.table, theory, options_);
    const nlohmann::ordered_json json = theory_json(theory, options_);
    run.results.write_text("theory.json", json.dump(2) + "\n");
    run.files.emplace_back("theory.json", "coverage");
    run.files.emplace_back("profiles.nc", "curves behind the fits");
    run.json["theory"] = json;
    run.summaries.push_back(theory_summary(theory, options_));
  }

 private:
  AssumptionOptions assumptions_;
  std::optional<GeometryOptions> final_geometry_;
  RunTheoryOptions options_;
  ShownDocument shown_;
};

}  // namespace

std::unique_ptr<AnalysisStage> make_theory_stage(const GeometryOptions& measured,
                                                 QuerySelection queries,
                                                 const RunTheoryOptions& options,
                                                 ShownDocument shown) {
  return std::make_unique<TheoryStage>(measured, queries, options, std::move(shown));
}

}  // namespace toplens
