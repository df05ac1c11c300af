#include "theory/simulation.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <toplens/error.h>

#include "geometry/aggregate_walk.h"
#include "geometry/head_geometry.h"
#include "theory/distribution_free.h"
#include "theory/residual_fit.h"

namespace toplens {

namespace {

constexpr std::uint64_t kEnvelopeStream = 11, kPopulationStream = 12;

/// What the theory needs of a document once it is measured.
struct DocumentRecord {
  std::vector<double> attention, contributions;
  std::vector<std::uint32_t> order;
  std::vector<std::vector<double>> selected_scores;  // [size][rank]
  std::vector<double> squared_norms;                 // |s|^2, [size]
  std::vector<Separability> measured;                // [size]

  RankedTokens tokens() const { return {contributions, order, true}; }
};

template <typename Get>
MeasuredMean mean_over(std::size_t count, const Get& get) {
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = get(i);
  return measured_mean(values);
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
        model((check(options), options.envelope.draws)),
        geometry(geometry_options(options)) {}

  static GeometryOptions geometry_options(const SimulationOptions& options) {
    GeometryOptions geometry;
    geometry.set_sizes = options.set_sizes;
    geometry.rankings = {options.ranking};
    geometry.distances = {Distance::euclidean};
    return geometry;
  }

  void measure(const GenerativeHead& head, std::uint64_t document, DocumentRecord& record,
               std::span<const HeadAssumptions> told, std::vector<std::vector<ResidualFit>>& fits);
  SimulatedHead evaluate(std::uint64_t head_number, const HeadAssumptions& assumptions,
                         std::span<const DocumentRecord> records);
  void draw_envelopes(std::uint64_t head_number, const HeadAssumptions& assumptions,
                      std::span<const DocumentRecord> records, SimulatedHead& result);

  SimulationOptions options;
  PredictiveModel model;
  HeadGeometry geometry;
  AggregateWalk walk;
  TokenRanker ranker;
  SimilaritySums sums;
  ConditionalBounds bounds;
  std::vector<std::size_t> sizes;  // those below the length
};

void HeadSimulator::State::measure(const GenerativeHead& head, std::uint64_t document,
                                   DocumentRecord& record, std::span<const HeadAssumptions> told,
                                   std::vector<std::vector<ResidualFit>>& fits) {
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

  walk.set_values(values, 0, WalkMethod::aggregate);
  AlignedVector<double> squared(walk.values().panels() * kPanelColumns + kLaneBlock);
  squared_norms(walk.values(), squared);
  AlignedVector<double> weights(padded_to_lanes(length), 0.0);
  std::vector<double> norms(length);
  record.attention.assign(drawn.attention.begin(), drawn.attention.end());
  record.contributions.resize(length);
  for (std::size_t i = 0; i < length; ++i) {
    weights[i] = record.attention[i];
    norms[i] = std::sqrt(squared[i]);
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
  record.selected_scores.clear();
  record.squared_norms.clear();
  walk.start(0, length, record.order, weights.data());
  for (std::size_t first = 0; first < sizes.size(); first += AggregateWalk::kMaxSizes) {
    const std::size_t count = std::min(AggregateWalk::kMaxSizes, sizes.size() - first);
    const MatrixView<const double> products =
        walk.advance(std::span<const std::size_t>(sizes).subspan(first, count));
    for (std::size_t k = 0; k < count; ++k) {
      const std::size_t n = first + k;
      const double* product = products.row(k).data();
      std::vector<double> scores(sizes[n]);
      double squared_norm = 0.0;
      for (std::size_t r = 0; r < sizes[n]; ++r) {
        const std::size_t i = record.order[r];
        squared_norm += weights[i] * product[i];
        scores[r] = weights[i] * (2.0 * product[i] - weights[i] * squared[i]);  // (6)
      }
      squared_norm = std::max(squared_norm, 0.0);
      record.selected_scores.push_back(std::move(scores));
      record.squared_norms.push_back(squared_norm);
      for (std::size_t a = 0; a < told.size(); ++a) {
        fits[a][n].add(record.tokens(),
                       {sizes[n], {product, length}, norms, squared_norm, assumed[a].others(n)});
      }
    }
  }
}

void HeadSimulator::State::draw_envelopes(std::uint64_t head_number,
                                          const HeadAssumptions& assumptions,
                                          std::span<const DocumentRecord> records,
                                          SimulatedHead& result) {
  const std::vector<Residuals>& residuals = assumptions.residuals.front().sizes;
  const std::vector<std::size_t> documents = envelope_documents(options.envelope, records.size());
  std::vector<Envelope> envelopes(sizes.size());
  std::vector<double> critical;
  const int largest = static_cast<int>(sizes.back());
  for (const std::size_t document : documents) {
    const DocumentRecord& record = records[document];
    // theory.md 5: contribution ranking depends on the norms, so it keeps the measured ones.
    const bool by_contribution = options.ranking == Ranking::contribution;
    const std::vector<double> contributions =
        by_contribution ? record.contributions
                        : assumed_contributions(record.attention, assumptions, true);
    const RankedTokens tokens{contributions, record.order, true};
    model.start(tokens.size(),
                Random(options.envelope.seed, {kEnvelopeStream, head_number, document}));
    model.evaluate(tokens, assumptions, by_contribution ? 0.0 : assumptions.norm_spread, residuals,
                   envelopes);
    for (std::size_t n = 0; n < sizes.size(); ++n) {
      result.sizes[n].envelope.lower += envelopes[n].lower;
      result.sizes[n].envelope.centre += envelopes[n].centre;
      result.sizes[n].envelope.upper += envelopes[n].upper;
    }
    critical.push_back(
        critical_size(tokens, assumptions, residuals, largest).value_or(largest + 1));
  }
  for (SimulatedSize& size : result.sizes) {
    const auto count = static_cast<double>(documents.size());
    size.envelope = {size.envelope.lower / count, size.envelope.centre / count,
                     size.envelope.upper / count};
  }
  const auto middle = critical.begin() + static_cast<std::ptrdiff_t>(critical.size() / 2);
  std::nth_element(critical.begin(), middle, critical.end());
  if (*middle <= largest) result.critical_size = static_cast<int>(*middle);
}

SimulatedHead HeadSimulator::State::evaluate(std::uint64_t head_number,
                                             const HeadAssumptions& assumptions,
                                             std::span<const DocumentRecord> records) {
  const std::vector<Residuals>& residuals = assumptions.residuals.front().sizes;
  SimulatedHead result;
  result.assumptions = assumptions;
  result.sizes.resize(sizes.size());
  std::vector<std::vector<ConditionalBound>> conditional(
      records.size(), std::vector<ConditionalBound>(sizes.size()));
  for (std::size_t document = 0; document < records.size(); ++document) {
    const DocumentRecord& record = records[document];
    std::vector<SelectedScores> selected;
    for (std::size_t n = 0; n < sizes.size(); ++n) {
      selected.push_back({sizes[n], record.selected_scores[n], std::sqrt(record.squared_norms[n])});
    }
    bounds.evaluate(record.tokens(), assumptions, selected, residuals, conditional[document]);
  }
  for (std::size_t n = 0; n < sizes.size(); ++n) {
    SimulatedSize& size = result.sizes[n];
    size.set_size = static_cast<int>(sizes[n]);
    size.residuals = residuals[n];
    const std::size_t count = records.size();
    size.precision =
        mean_over(count, [&](std::size_t i) { return records[i].measured[n].precision; });
    size.recall = mean_over(count, [&](std::size_t i) { return records[i].measured[n].recall; });
    size.f_score = mean_over(count, [&](std::size_t i) { return records[i].measured[n].f_score; });
    size.chernoff_precision =
        mean_over(count, [&](std::size_t i) { return conditional[i][n].chernoff.precision; });
    size.chernoff_recall =
        mean_over(count, [&](std::size_t i) { return conditional[i][n].chernoff.recall; });
    size.gaussian = size.distribution_free = Separation::zero();
    for (std::size_t i = 0; i < count; ++i) {
      size.gaussian += conditional[i][n].gaussian;
      size.distribution_free +=
          distribution_free_bound(records[i].measured[n].inversions, size.set_size);
    }
    size.gaussian = size.gaussian / static_cast<double>(count);
    size.distribution_free = size.distribution_free / static_cast<double>(count);
    size.envelope = {Separation::zero(), Separation::zero(), Separation::zero()};
  }
  draw_envelopes(head_number, assumptions, records, result);

  std::vector<SizedScore> predicted, measured;
  for (const SimulatedSize& size : result.sizes) {
    predicted.push_back({size.set_size, size.envelope.centre.f_score});
    measured.push_back({size.set_size, size.f_score.mean});
  }
  result.predicted_half = half_size(predicted);
  result.measured_half = half_size(measured);
  return result;
}

HeadSimulator::HeadSimulator(SimulationOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}
HeadSimulator::~HeadSimulator() = default;
HeadSimulator::HeadSimulator(HeadSimulator&&) noexcept = default;

std::vector<SimulatedHead> HeadSimulator::simulate(const GenerativeHead& head,
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
  std::vector<std::vector<ResidualFit>> fits(told.size());
  for (std::vector<ResidualFit>& fit : fits) {
    for (const std::size_t size : state.sizes) fit.emplace_back(static_cast<int>(size));
  }
  std::vector<DocumentRecord> records(static_cast<std::size_t>(state.options.documents));
  for (std::size_t document = 0; document < records.size(); ++document) {
    state.measure(head, document, records[document], told, fits);
  }
  std::vector<SimulatedHead> results;
  for (std::size_t a = 0; a < told.size(); ++a) {
    HeadAssumptions assumptions = told[a];
    assumptions.residuals = {{state.options.ranking, {}}};
    for (const ResidualFit& fit : fits[a]) {
      assumptions.residuals.front().sizes.push_back(fit.residuals(assumptions.dimension));
    }
    results.push_back(state.evaluate(head_number, assumptions, records));
    results.back().parameters = head.parameters();
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
    std::vector<SimulatedHead> simulated =
        simulators[static_cast<std::size_t>(worker)].simulate(head, h, told);
    result.unaware[h] = std::move(simulated[0]);
    if (violated) result.aware[h] = std::move(simulated[1]);
  });
  return result;
}

std::vector<CoverageCell> coverage_cells(std::span<const SimulatedHead> heads, Metric metric,
                                         std::optional<int> set_size) {
  const auto of = [&](const Separation& s) {
    return metric == Metric::precision ? s.precision
           : metric == Metric::recall  ? s.recall
                                       : s.f_score;
  };
  std::vector<CoverageCell> cells;
  for (std::size_t h = 0; h < heads.size(); ++h) {
    for (const SimulatedSize& size : heads[h].sizes) {
      if (set_size ? size.set_size != *set_size : size.set_size < 2) continue;
      CoverageCell cell;
      cell.head = h;
      cell.set_size = size.set_size;
      cell.measured = metric == Metric::precision ? size.precision
                      : metric == Metric::recall  ? size.recall
                                                  : size.f_score;
      cell.lower = of(size.envelope.lower);
      cell.centre = of(size.envelope.centre);
      cell.upper = of(size.envelope.upper);
      cells.push_back(cell);
    }
  }
  return cells;
}

}  // namespace toplens
