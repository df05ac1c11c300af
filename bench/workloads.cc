#include "bench/workloads.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <list>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <toplens/error.h>

#include "bench/report.h"
#include "bench/stopwatch.h"
#include "checkpoint/random_weights.h"
#include "cli/analyze.h"
#include "cli/measures_options.h"
#include "geometry/geometry_observer.h"
#include "io/npy.h"
#include "kernels/softmax.h"
#include "measures/detectors.h"
#include "measures/measure_observer.h"
#include "model/attention.h"
#include "model/forward_pass.h"
#include "observe/lane_range_observer.h"
#include "selection/ranking.h"
#include "theory/assumption_observer.h"

namespace toplens::bench {
namespace {

/// Passes everything on and adds up the time that it takes.
class TimedObserver : public AttentionObserver {
 public:
  explicit TimedObserver(AttentionObserver& observed) : observed_(observed) {}
  QuerySelection queries() const override { return observed_.queries(); }
  QuerySelection queries_of_lane(int lane) const override {
    return observed_.queries_of_lane(lane);
  }
  void begin(const ObservedPass& pass) override {
    seconds_.assign(static_cast<std::size_t>(pass.num_workers) * kPadding, 0.0);
    observed_.begin(pass);
  }
  void observe(const HeadView& view, int worker) override {
    seconds_[static_cast<std::size_t>(worker) * kPadding] +=
        seconds_of([&] { observed_.observe(view, worker); });
  }
  void end() override { observed_.end(); }
  double seconds() const {
    double sum = 0;
    for (const double part : seconds_) sum += part;
    return sum;
  }

 private:
  static constexpr std::size_t kPadding = 8;  // a cache line for each worker
  AttentionObserver& observed_;
  std::vector<double> seconds_;
};

std::vector<float> random_floats(std::size_t count, double deviation) {
  std::vector<float> values(count);
  RandomWeights(DataType::f32, 0, deviation)
      .fill(count, 0, std::as_writable_bytes(std::span(values)));
  return values;
}

}  // namespace

std::vector<std::vector<std::int32_t>> read_documents(const std::filesystem::path& path,
                                                      std::size_t most) {
  const NpyIntArray tokens = read_npy_integers(path);
  if (tokens.shape.size() != 2 || tokens.shape[0] < most) {
    throw Error(fmt::format("{}: shape [{}], expected {} documents or more", path.string(),
                            fmt::join(tokens.shape, ", "), most));
  }
  const auto length = static_cast<std::ptrdiff_t>(tokens.shape[1]);
  std::vector<std::vector<std::int32_t>> documents;
  for (std::size_t i = 0; i < most; ++i) {
    const auto first = tokens.values.begin() + static_cast<std::ptrdiff_t>(i) * length;
    documents.emplace_back(first, first + length);
  }
  return documents;
}

PassRunner::PassRunner(ModelSession& session, std::vector<std::vector<std::int32_t>> documents)
    : session_(session), documents_(std::move(documents)) {}

PassRunner::Timing PassRunner::run(std::span<AttentionObserver* const> observed,
                                   std::span<const std::vector<std::int32_t>> own_lanes,
                                   ProgressListener* progress) {
  std::vector<Lane> lanes;
  std::vector<std::size_t> lengths;
  for (const auto& document : documents_) {
    lanes.push_back({document});
    lengths.push_back(document.size());
  }
  std::list<TimedObserver> timed;
  std::vector<AttentionObserver*> observers;
  for (AttentionObserver* observer : observed) {
    observers.push_back(&timed.emplace_back(*observer));
  }
  EngineDemand demand;
  demand.kept_queries = kept_queries(observers, static_cast<int>(lengths.front()));
  demand.lanes_wanted = static_cast<int>(lanes.size());
  const EnginePlan plan = session_.plan(lengths, demand);
  if (plan.lanes_per_batch < demand.lanes_wanted) {
    throw Error("the documents do not fit the memory budget together");
  }
  for (const auto& ids : own_lanes) lanes.push_back({ids});
  ForwardPass pass(session_.model(), session_.pool(), plan);
  Timing timing;
  timing.seconds = seconds_of([&] { pass.run(lanes, observers, progress); });
  for (const TimedObserver& observer : timed) timing.observing_seconds += observer.seconds();
  return timing;
}

PassRunner::Timing PassRunner::plain() { return run({}, {}); }

PassRunner::Timing PassRunner::plain(const std::function<void()>& between) {
  class Between : public ProgressListener {
   public:
    explicit Between(const std::function<void()>& work) : work_(work) {}
    void advance(std::uint64_t, std::uint64_t) override { seconds_ += seconds_of(work_); }
    double seconds() const { return seconds_; }

   private:
    const std::function<void()>& work_;
    double seconds_ = 0;
  };
  Between listener(between);
  Timing timing = run({}, {}, &listener);
  timing.seconds -= listener.seconds();
  return timing;
}

PassRunner::InTurns PassRunner::in_turns(const Treatment* treatment, AttentionObserver* observer) {
  std::vector<Lane> lanes;
  for (const auto& document : documents_) lanes.push_back({document});
  for (const auto& document : documents_) lanes.push_back({document, treatment});
  const int count = static_cast<int>(documents_.size());
  std::vector<std::size_t> lengths;
  for (const Lane& lane : lanes) lengths.push_back(lane.token_ids.size());
  std::optional<LaneRangeObserver> others;
  std::vector<AttentionObserver*> observers;
  if (observer != nullptr) {
    observers.push_back(&others.emplace(*observer, std::vector<LaneRange>{{count, count}}));
  }
  EngineDemand demand;
  demand.kept_queries = kept_queries(observers, static_cast<int>(lengths.front()));
  demand.lanes_wanted = static_cast<int>(lanes.size());
  EnginePlan plan = session_.plan(lengths, demand);
  if (plan.lanes_per_batch < demand.lanes_wanted) {
    throw Error("the documents do not fit the memory budget twice");
  }
  // Groups of lanes go through a layer one after the other: one of each kind.
  plan.group_rows = static_cast<std::size_t>(tokens());

  class Stopwatch : public ProgressListener {
   public:
    void advance(std::uint64_t, std::uint64_t) override {
      const auto now = std::chrono::steady_clock::now();
      (plain_ ? timing.plain_seconds : timing.other_seconds) +=
          std::chrono::duration<double>(now - last_).count();
      last_ = now;
      plain_ = !plain_;
    }
    InTurns timing;

   private:
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
    bool plain_ = true;
  };
  ForwardPass pass(session_.model(), session_.pool(), plan);
  Stopwatch watch;
  pass.run(lanes, observers, &watch);
  return watch.timing;
}

PassRunner::InTurns PassRunner::treated(int set_size) {
  const ModelConfig& config = session_.config();
  Treatment treatment(Ranking::attention, RemovalRule::remove, config.num_layers,
                      config.num_query_heads, 0);
  treatment.set_all(set_size);
  return in_turns(&treatment, nullptr);
}

PassRunner::InTurns PassRunner::measured(const GeometryOptions& options, QuerySelection queries) {
  std::vector<std::uint64_t> identities(documents_.size());
  for (std::size_t i = 0; i < identities.size(); ++i) identities[i] = i;
  GeometryObserver observer(options, queries, identities);
  return in_turns(nullptr, &observer);
}

PassRunner::Timing PassRunner::geometry(const GeometryOptions& options, QuerySelection queries) {
  std::vector<std::uint64_t> identities(documents_.size());
  for (std::size_t i = 0; i < identities.size(); ++i) identities[i] = i;
  GeometryObserver observer(options, queries, identities);
  const std::array<AttentionObserver*, 1> observers = {&observer};
  return run(observers, {});
}

namespace {

/// What analyze does for some of its documents alone is done here for as large a part of them.
std::size_t part_of_default(std::size_t whole, std::size_t documents) {
  const auto by_default = static_cast<std::size_t>(AnalyzeArguments().documents);
  return std::max<std::size_t>(1, (whole * documents + by_default / 2) / by_default);
}

/// What analyze's defaults send beside its documents, for so many.
std::vector<std::vector<std::int32_t>> detector_sequences(const ModelConfig& config,
                                                          std::size_t documents) {
  const MeasuresArguments defaults;
  const std::size_t count =
      part_of_default(static_cast<std::size_t>(defaults.detector_sequences), documents);
  std::vector<std::vector<std::int32_t>> sequences;
  for (std::size_t i = 0; i < count; ++i) {
    sequences.push_back(repeated_random_tokens(2027, i,
                                               static_cast<std::size_t>(defaults.detector_tokens),
                                               config.vocab_size, config.bos_token_id));
  }
  return sequences;
}

}  // namespace

PassRunner::Timing PassRunner::theory_records() {
  std::vector<std::uint64_t> identities(documents_.size());
  for (std::size_t i = 0; i < identities.size(); ++i) identities[i] = i;
  AssumptionOptions options;
  options.effective_rank_documents =
      part_of_default(options.effective_rank_documents, documents_.size());
  AssumptionObserver observer(options, identities);
  const std::array<AttentionObserver*, 1> observers = {&observer};
  return run(observers, {});
}

PassRunner::Timing PassRunner::measures(QuerySelection queries) {
  const ModelConfig& config = session_.config();
  const int documents = static_cast<int>(documents_.size());
  MeasureOptions options;
  options.effective_rank_documents =
      part_of_default(options.effective_rank_documents, documents_.size());
  MeasuredShape shape;
  shape.documents = documents_.size();
  shape.layers = static_cast<std::size_t>(config.num_layers);
  shape.heads = static_cast<std::size_t>(config.num_query_heads);
  shape.set_sizes = options.set_sizes;
  const int length = static_cast<int>(documents_.front().size());
  shape.settings =
      measure_settings(std::array{length}, queries.is_last() ? std::string("last") : "all");
  MeasureRecords records = make_measure_records(shape);
  std::vector<std::uint64_t> identities(documents_.size());
  for (std::size_t i = 0; i < identities.size(); ++i) identities[i] = i;
  MeasureObserver measures(options, queries, identities, records, 0);
  const auto own_lanes = detector_sequences(config, documents_.size());
  std::vector<std::size_t> rows(own_lanes.size());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = i;
  DetectorObserver detectors({own_lanes.begin(), own_lanes.end()}, rows, records);
  LaneRangeObserver on_documents(measures, {{0, documents}});
  LaneRangeObserver on_sequences(detectors, {{documents, static_cast<int>(own_lanes.size())}});
  const std::array<AttentionObserver*, 2> observers = {&on_documents, &on_sequences};
  return run(observers, own_lanes);
}

double PassRunner::detector_share() const {
  double sum = 0;
  for (const auto& ids : detector_sequences(session_.config(), documents_.size())) {
    sum += forward_operations(session_.config(), static_cast<int>(ids.size()));
  }
  return sum / operations();
}

double PassRunner::operations() const {
  double sum = 0;
  for (const auto& document : documents_) {
    sum += forward_operations(session_.config(), static_cast<int>(document.size()));
  }
  return sum;
}

double PassRunner::tokens() const {
  double sum = 0;
  for (const auto& document : documents_) sum += static_cast<double>(document.size());
  return sum;
}

LayerScanRunner::LayerScanRunner(ModelSession& session, std::vector<std::int32_t> document)
    : session_(session), document_(std::move(document)) {
  const ModelConfig& config = session.config();
  for (int layer = 0; layer < config.num_layers; ++layer) {
    treatments_.emplace_back(Ranking::attention, RemovalRule::remove, config.num_layers,
                             config.num_query_heads, 0);
    treatments_.back().set_layer(layer, 64);
  }
}

double LayerScanRunner::seconds(bool forks) {
  std::vector<Lane> lanes = {{document_}};
  for (const Treatment& treatment : treatments_) {
    lanes.push_back({document_, &treatment, 0, forks ? 0 : -1});
  }
  const std::vector<std::size_t> lengths(lanes.size(), document_.size());
  EngineDemand demand;
  demand.lanes_wanted = static_cast<int>(lanes.size());
  const EnginePlan plan = session_.plan(lengths, demand);
  if (plan.lanes_per_batch < demand.lanes_wanted) {
    throw Error("the lanes of the scan do not fit the memory budget together");
  }
  ForwardPass pass(session_.model(), session_.pool(), plan);
  return seconds_of([&] { pass.run(lanes, {}); });
}

GeometryOptions final_query_geometry() {
  GeometryOptions options;
  options.random_inversions = false;
  return options;
}

GeometryOptions all_queries_geometry() {
  GeometryOptions options;
  options.rankings = {Ranking::attention};
  options.distances = {Distance::euclidean};
  options.with_inversions = false;
  return options;
}

struct AttentionRunner::State {
  State(ModelSession& session_in, std::size_t documents_in, std::size_t length_in)
      : session(session_in),
        config(session.config()),
        documents(documents_in),
        length(length_in),
        query_width(static_cast<std::size_t>(config.num_query_heads * config.head_dim)),
        kv_width(static_cast<std::size_t>(config.num_kv_heads * config.head_dim)),
        query(random_floats(documents * length * query_width, 1.0)),
        key(random_floats(documents * length * kv_width, 1.0)),
        value(random_floats(documents * length * kv_width, 1.0)),
        rope(config.rope, config.head_dim, static_cast<int>(length)),
        output(session.compute(), kFullBlockRows) {
    output.resize(documents * length, query_width);
    for (int worker = 0; worker < session.pool().size(); ++worker) {
      heads.emplace_back(config, rope, std::span<AttentionObserver* const>(), worker);
    }
  }

  ModelSession& session;
  const ModelConfig& config;
  std::size_t documents, length, query_width, kv_width;
  std::vector<float> query, key, value;
  RopeTable rope;
  InputMatrix output;
  std::vector<HeadAttention> heads;
};

AttentionRunner::AttentionRunner(ModelSession& session, std::size_t documents, std::size_t length)
    : state_(std::make_unique<State>(session, documents, length)) {}
AttentionRunner::~AttentionRunner() = default;

double AttentionRunner::seconds() {
  State& s = *state_;
  const auto kv_heads = static_cast<std::size_t>(s.config.num_kv_heads);
  return seconds_of([&] {
    s.session.pool().parallel_for(s.documents * kv_heads, [&](std::size_t task, int worker) {
      const std::size_t document = task / kv_heads, first = document * s.length;
      AttentionInput input;
      input.lane = static_cast<int>(document);
      input.query = {s.query.data() + first * s.query_width, s.length, s.query_width};
      input.key = {s.key.data() + first * s.kv_width, s.length, s.kv_width};
      input.value = {s.value.data() + first * s.kv_width, s.length, s.kv_width};
      s.heads[static_cast<std::size_t>(worker)].run(input, static_cast<int>(task % kv_heads),
                                                    s.output, first);
    });
  });
}

double AttentionRunner::operations() const {
  const State& s = *state_;
  const auto length = static_cast<double>(s.length);
  return static_cast<double>(s.documents * s.query_width) * 4.0 * length * (length + 1) / 2;
}

SelectionTiming select_top(std::size_t length, std::size_t count) {
  constexpr std::size_t kRows = 64;  // 256 KiB for 1024 tokens: they stay in the second cache
  constexpr std::size_t kRepeats = 51;
  constexpr std::size_t kMaxima = 16;  // one running maximum would be bound by its latency
  std::vector<float> rows = random_floats(kRows * length, 2.0);
  const auto row = [&](std::size_t r) { return std::span(rows).subspan(r * length, length); };
  for (std::size_t r = 0; r < kRows; ++r) {
    if (!softmax_row(row(r), 1.0f, 0.0f)) throw Error("random scores are not finite");
  }
  TokenRanker ranker;
  std::uint64_t checksum = 0;
  std::vector<double> select_seconds, pass_seconds;
  for (std::size_t repeat = 0; repeat < kRepeats; ++repeat) {
    select_seconds.push_back(seconds_of([&] {
      for (std::size_t r = 0; r < kRows; ++r) checksum += ranker.by_score(row(r), count)[0];
    }));
    pass_seconds.push_back(seconds_of([&] {
      for (std::size_t r = 0; r < kRows; ++r) {
        const float* values = row(r).data();
        std::array<float, kMaxima> most{};
        for (std::size_t i = 0; i + kMaxima <= length; i += kMaxima) {
          for (std::size_t lane = 0; lane < kMaxima; ++lane) {
            most[lane] = std::max(most[lane], values[i + lane]);
          }
        }
        checksum += *std::max_element(most.begin(), most.end()) > 0 ? 1 : 0;
      }
    }));
  }
  if (checksum == 0) throw Error("the rows are empty");
  return {median(select_seconds) / kRows, median(pass_seconds) / kRows};
}

}  // namespace toplens::bench
