#include "theory/simulation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <toplens/error.h>

#include "geometry/gram_walk.h"
#include "geometry/head_geometry.h"
#include "theory/residual_pool.h"

namespace toplens {

namespace {

constexpr std::uint64_t kPopulationStream = 12;

/// Below this share of |s|^2 what the sink leaves of it is rounding.
constexpr double kNothingLeft = 1e-12;

/// cos(v_i, s) by rank from the products <v_i, s>; NaN where one has no norm.
std::vector<float> cosines_by_rank(const MeasuredQuery& query, std::span<const double> norms,
                                   std::span<const double> products, std::size_t size_index) {
  std::vector<float> cosines(query.order.size());
  for (std::size_t r = 0; r < cosines.size(); ++r) {
    const std::size_t i = query.order[r];
    cosines[r] = static_cast<float>(products[i] / (norms[i] * query.aggregate_norms[size_index]));
  }
  return cosines;
}

/// What AssumptionObserver would leave of one set size, near-duplicates and the sample aside.
SizeRecord record_of(const MeasuredQuery& query, std::span<const double> norms,
                     std::span<const double> products, std::span<const float> cosines,
                     std::size_t set_size, std::size_t size_index) {
  SizeRecord record;
  record.set_size = set_size;
  record.aggregate_norm = query.aggregate_norms[size_index];
  record.competitors =
      cosines.subspan(set_size, AssumptionLayout::competitors(set_size, query.order.size()));
  const auto selected = query.order.begin() + static_cast<std::ptrdiff_t>(set_size);
  const double w = query.contributions[0];
  double product = products[0] / norms[0];  // <v_0, s> / |v_0|
  double square = record.aggregate_norm * record.aggregate_norm;
  if (std::find(query.order.begin(), selected, 0u) != selected) {
    const double rest = square - 2.0 * w * product + w * w;  // |s - y_0|^2
    square = rest > kNothingLeft * square ? rest : 0.0;
    product -= w;
  }
  record.sink_aggregate_norm = std::sqrt(square);
  record.sink_cosine = square > 0.0 ? product / record.sink_aggregate_norm
                                    : std::numeric_limits<double>::quiet_NaN();
  return record;
}

}  // namespace

void check(const SimulationOptions& options) {
  if (options.documents < 1) {
    throw Error(fmt::format("documents is {}: expected at least 1", options.documents));
  }
  if (options.envelope.draws < 1) {
    throw Error(fmt::format("draws is {}: expected at least 1", options.envelope.draws));
  }
  if (options.envelope.documents < 0) {
    throw Error(fmt::format("envelope documents is {}: expected at least 0 (all)",
                            options.envelope.documents));
  }
  if (options.ranking != Ranking::attention && options.ranking != Ranking::contribution) {
    throw Error(fmt::format("ranking {} has no prediction: expected attention or contribution",
                            name(options.ranking)));
  }
  for (std::size_t n = 0; n < options.set_sizes.size(); ++n) {
    if (options.set_sizes[n] < 1 || (n > 0 && options.set_sizes[n] <= options.set_sizes[n - 1])) {
      throw Error("set sizes must increase from at least 1");
    }
  }
}

struct HeadSimulator::State {
  explicit State(SimulationOptions given)
      : options(std::move(given)),
        evaluator((check(options), evaluator_options(options))),
        geometry(geometry_options(options)) {}

  static HeadTheoryOptions evaluator_options(const SimulationOptions& options) {
    HeadTheoryOptions theory;
    theory.envelope = options.envelope;
    return theory;
  }

  static GeometryOptions geometry_options(const SimulationOptions& options) {
    GeometryOptions geometry;
    geometry.set_sizes = options.set_sizes;
    geometry.rankings = {options.ranking};
    geometry.distances = {Distance::euclidean};
    return geometry;
  }

  void measure(const GenerativeHead& head, std::uint64_t document, MeasuredQuery& record,
               std::span<const HeadAssumptions> told, std::vector<std::vector<ResidualPool>>& fits);

  SimulationOptions options;
  HeadEvaluator evaluator;
  HeadGeometry geometry;
  GramWalk walk;
  TokenRanker ranker;
  std::vector<std::size_t> sizes;  // those below the length
};

void HeadSimulator::State::measure(const GenerativeHead& head, std::uint64_t document,
                                   MeasuredQuery& record, std::span<const HeadAssumptions> told,
                                   std::vector<std::vector<ResidualPool>>& fits) {
  const DrawnDocument drawn = head.draw(document);
  const std::size_t length = drawn.attention.size();
  const auto dimension = static_cast<std::size_t>(head.parameters().dimension);
  const MatrixView<const float> values(drawn.values.data(), length, dimension);

  GeometryQuery query;
  query.document = document;
  query.query = static_cast<int>(length) - 1;
  geometry.set_values(values, 0, 1, 0);
  record.measured.resize(geometry.num_results());
  geometry.measure(query, drawn.attention, record.measured);

  walk.set_values(values, 0);
  AlignedVector<double> squared(walk.values().panels() * kPanelColumns + kLaneBlock);
  squared_norms(walk.values(), squared);
  AlignedVector<double> weights(padded_to_lanes(length), 0.0);
  std::vector<double> norms;
  record.attention.assign(drawn.attention.begin(), drawn.attention.end());
  record.contributions.resize(length);
  for (std::size_t i = 0; i < length; ++i) {
    weights[i] = record.attention[i];
    norms.push_back(std::sqrt(squared[i]));
    record.contributions[i] = weights[i] * norms[i];
  }
  const std::span<const std::uint32_t> order =
      options.ranking == Ranking::attention
          ? ranker.by_score(std::span<const float>(drawn.attention), length)
          : ranker.by_score(std::span<const double>(record.contributions), length);
  record.order.assign(order.begin(), order.end());

  std::vector<SimilaritySums> assumed(told.size());
  for (std::size_t a = 0; a < told.size(); ++a) {
    assumed[a].compute(record.tokens(), told[a].similarity, told[a].sink_similarity, sizes);
  }
  const auto sink_rank = static_cast<std::size_t>(
      std::find(record.order.begin(), record.order.end(), 0u) - record.order.begin());
  record.selected_scores.clear();
  record.aggregate_norms.clear();
  walk.start(0, length, record.order, weights.data());
  for (std::size_t n = 0; n < sizes.size(); ++n) {
    const std::span<const double> product = walk.advance(sizes[n]);
    std::vector<double> scores(sizes[n]);
    double squared_norm = 0.0;
    for (std::size_t r = 0; r < sizes[n]; ++r) {
      const std::size_t i = record.order[r];
      squared_norm += weights[i] * product[i];
      scores[r] = weights[i] * (2.0 * product[i] - weights[i] * squared[i]);  // (6)
    }
    squared_norm = std::max(squared_norm, 0.0);
    record.selected_scores.push_back(std::move(scores));
    record.aggregate_norms.push_back(std::sqrt(squared_norm));
    const std::vector<float> cosines = cosines_by_rank(record, norms, product, n);
    const SizeRecord size = record_of(record, norms, product, cosines, sizes[n], n);
    for (std::size_t a = 0; a < told.size(); ++a) {
      fits[a][n].add(size, assumed[a].others(n), sink_rank);
    }
  }
}

HeadSimulator::HeadSimulator(SimulationOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}
HeadSimulator::~HeadSimulator() = default;
HeadSimulator::HeadSimulator(HeadSimulator&&) noexcept = default;

std::vector<HeadTheory> HeadSimulator::simulate(const GenerativeHead& head,
                                                std::uint64_t head_number,
                                                std::span<const HeadAssumptions> told) {
  State& state = *state_;
  state.sizes.clear();
  for (const int size : state.options.set_sizes) {
    if (size < head.parameters().length) state.sizes.push_back(static_cast<std::size_t>(size));
  }
  if (state.sizes.empty()) {
    throw Error(fmt::format("no set size is below the length {}", head.parameters().length));
  }
  std::vector<std::vector<ResidualPool>> fits(told.size());
  for (std::vector<ResidualPool>& fit : fits) {
    fit.resize(state.sizes.size());
  }
  std::vector<MeasuredQuery> records(static_cast<std::size_t>(state.options.documents));
  for (std::size_t document = 0; document < records.size(); ++document) {
    state.measure(head, document, records[document], told, fits);
  }
  std::vector<HeadTheory> results;
  for (std::size_t a = 0; a < told.size(); ++a) {
    HeadAssumptions assumptions = told[a];
    assumptions.residuals = {{state.options.ranking, {}}};
    for (std::size_t n = 0; n < state.sizes.size(); ++n) {
      const auto size = static_cast<int>(state.sizes[n]);
      assumptions.residuals.front().sizes.push_back(
          fits[a][n].competitors(size, assumptions.dimension));
    }
    results.push_back(state.evaluator.evaluate(head_number, assumptions, state.options.ranking,
                                               state.sizes, records));
  }
  return results;
}

Population simulate_population(const PopulationOptions& population,
                               const SimulationOptions& options, ThreadPool& pool) {
  check(options);
  check(population.violation);
  std::vector<HeadSimulator> simulators;
  for (int worker = 0; worker < pool.size(); ++worker) simulators.emplace_back(options);
  const auto heads = static_cast<std::size_t>(population.heads);
  const bool violated = population.violation.violation != Violation::none;
  Population result;
  result.parameters.resize(heads);
  result.unaware.resize(heads);
  if (violated) result.aware.resize(heads);
  pool.parallel_for(heads, [&](std::size_t h, int worker) {
    Random random(options.envelope.seed, {kPopulationStream, h});
    const GenerativeParameters parameters =
        draw_parameters(population.kept, population.fixed, random);
    const GenerativeHead head(parameters, population.violation, options.envelope.seed, h);
    std::vector<HeadAssumptions> told = {true_assumptions(parameters)};
    if (violated) {
      told.push_back(true_assumptions(parameters_as_fitted(parameters, population.violation)));
    }
    std::vector<HeadTheory> simulated =
        simulators[static_cast<std::size_t>(worker)].simulate(head, h, told);
    result.parameters[h] = parameters;
    result.unaware[h] = std::move(simulated[0]);
    if (violated) result.aware[h] = std::move(simulated[1]);
  });
  return result;
}

}  // namespace toplens
