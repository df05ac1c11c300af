#include "theory/head_theory.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "kernels/normal_draws.h"
#include "theory/conditional_bound.h"
#include "theory/distribution_free.h"
#include "theory/operating_regime.h"
#include "theory/sink_threshold.h"

namespace toplens {

namespace {

constexpr std::uint64_t kEnvelopeStream = 11, kProfileStream = 13;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

template <typename Get>
MeasuredMean mean_over(std::size_t count, const Get& get) {
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = get(i);
  return measured_mean(values);
}

/// Sums of envelopes over documents or draws of weights.
class EnvelopeMeans {
 public:
  explicit EnvelopeMeans(std::size_t sizes)
      : sums_(sizes, {Separation::zero(), Separation::zero(), Separation::zero()}) {}
  void add(std::span<const Envelope> envelopes) {
    for (std::size_t n = 0; n < sums_.size(); ++n) {
      sums_[n].lower += envelopes[n].lower;
      sums_[n].centre += envelopes[n].centre;
      sums_[n].upper += envelopes[n].upper;
    }
    count_ += 1.0;
  }
  Envelope mean(std::size_t n) const {
    return {sums_[n].lower / count_, sums_[n].centre / count_, sums_[n].upper / count_};
  }

 private:
  std::vector<Envelope> sums_;
  double count_ = 0.0;
};

void measure(std::span<const MeasuredQuery> queries, std::size_t n, TheoryAtSize& size) {
  const std::size_t count = queries.size();
  size.precision =
      mean_over(count, [&](std::size_t i) { return queries[i].measured[n].precision; });
  size.recall = mean_over(count, [&](std::size_t i) { return queries[i].measured[n].recall; });
  size.f_score = mean_over(count, [&](std::size_t i) { return queries[i].measured[n].f_score; });
  size.distribution_free = Separation::zero();
  for (const MeasuredQuery& query : queries) {
    size.distribution_free += distribution_free_bound(query.measured[n].inversions, size.set_size);
    if (query.measured[n].margin > 0.0) size.separation_measured += 1.0;
  }
  size.distribution_free = size.distribution_free / static_cast<double>(count);
  size.separation_measured /= static_cast<double>(count);
}

std::size_t rank_of_sink(const RankedTokens& tokens) {
  if (!tokens.sink_visible) return tokens.size();
  return static_cast<std::size_t>(std::find(tokens.order.begin(), tokens.order.end(), 0u) -
                                  tokens.order.begin());
}

}  // namespace

std::optional<int> median_size(std::vector<int> sizes, int beyond) {
  assert(!sizes.empty());
  const auto middle = sizes.begin() + static_cast<std::ptrdiff_t>(sizes.size() / 2);
  std::nth_element(sizes.begin(), middle, sizes.end());
  return *middle < beyond ? std::optional<int>(*middle) : std::nullopt;
}

struct HeadEvaluator::State {
  explicit State(HeadTheoryOptions given)
      : options(given),
        bounds(given.eta),
        model(given.weights == WeightSource::measured ? given.envelope.draws : given.scalar_draws) {
  }

  void bound(const HeadAssumptions& assumptions, std::span<const Residuals> residuals,
             std::span<const std::size_t> sizes, std::span<const MeasuredQuery> queries,
             HeadTheory& theory);
  void regime(const HeadAssumptions& assumptions, std::span<const Residuals> residuals,
              std::span<const MeasuredQuery> queries, HeadTheory& theory) const;
  void draw_measured(std::uint64_t head_number, const HeadAssumptions& assumptions,
                     std::span<const Residuals> residuals, std::span<const MeasuredQuery> queries,
                     HeadTheory& theory);
  void draw_profile(std::uint64_t head_number, const HeadAssumptions& assumptions,
                    std::span<const Residuals> residuals, bool sink_visible, HeadTheory& theory);

  HeadTheoryOptions options;
  ConditionalBounds bounds;
  PredictiveModel model;
  TokenRanker ranker;
};

void HeadEvaluator::State::bound(const HeadAssumptions& assumptions,
                                 std::span<const Residuals> residuals,
                                 std::span<const std::size_t> sizes,
                                 std::span<const MeasuredQuery> queries, HeadTheory& theory) {
  std::vector<std::vector<ConditionalBound>> conditional(
      queries.size(), std::vector<ConditionalBound>(sizes.size()));
  for (std::size_t i = 0; i < queries.size(); ++i) {
    std::vector<SelectedScores> selected;
    for (std::size_t n = 0; n < sizes.size(); ++n) {
      selected.push_back({sizes[n], queries[i].selected_scores[n], queries[i].aggregate_norms[n]});
    }
    bounds.evaluate(queries[i].tokens(), assumptions, selected, residuals, conditional[i]);
  }
  const std::size_t count = queries.size();
  const auto documents = static_cast<double>(count);
  for (std::size_t n = 0; n < sizes.size(); ++n) {
    TheoryAtSize& size = theory.sizes[n];
    size.residuals = residuals[n];
    size.chernoff_precision =
        mean_over(count, [&](std::size_t i) { return conditional[i][n].chernoff.precision; });
    size.chernoff_recall =
        mean_over(count, [&](std::size_t i) { return conditional[i][n].chernoff.recall; });
    size.gaussian = Separation::zero();
    for (const std::vector<ConditionalBound>& document : conditional) {
      const ConditionalBound& at = document[n];
      size.gaussian += at.gaussian;
      size.chernoff_f_score += at.chernoff.f_score / documents;
      size.uniform_precision += at.uniform_precision / documents;
      if (std::isnan(at.separating_dimension)) size.separation_guaranteed = kNan;
      if (assumptions.dimension >= at.separating_dimension) {  // (19)
        size.separation_guaranteed += 1.0 / documents;
      }
    }
    size.gaussian = size.gaussian / documents;
  }
}

void HeadEvaluator::State::regime(const HeadAssumptions& assumptions,
                                  std::span<const Residuals> residuals,
                                  std::span<const MeasuredQuery> queries,
                                  HeadTheory& theory) const {
  const int largest = theory.sizes.back().set_size;
  std::vector<int> critical;
  std::vector<double> thresholds(theory.sizes.size(), 0.0), defined(theory.sizes.size(), 0.0);
  for (const MeasuredQuery& query : queries) {
    const std::vector<double> contributions =
        theory.ranking == Ranking::contribution
            ? query.contributions
            : assumed_contributions(query.attention, assumptions, query.sink_visible);
    const RankedTokens tokens{contributions, query.order, query.sink_visible};
    critical.push_back(
        critical_size(tokens, assumptions, residuals, largest, options.eta).value_or(largest + 1));
    const std::size_t sink_rank = rank_of_sink(tokens);
    for (std::size_t n = 0; n < theory.sizes.size(); ++n) {
      TheoryAtSize& size = theory.sizes[n];
      const auto selected = static_cast<std::size_t>(size.set_size);
      if (sink_rank >= selected) continue;
      if (size.set_size < 2) continue;
      const double threshold = sink_threshold(tokens, assumptions, selected).similarity;
      if (!std::isfinite(threshold)) continue;
      thresholds[n] += threshold;
      defined[n] += 1.0;
    }
  }
  theory.critical_size = median_size(std::move(critical), largest + 1);
  for (std::size_t n = 0; n < theory.sizes.size(); ++n) {
    if (defined[n] > 0.0) theory.sizes[n].sink_threshold = thresholds[n] / defined[n];
  }
}

void HeadEvaluator::State::draw_measured(std::uint64_t head_number,
                                         const HeadAssumptions& assumptions,
                                         std::span<const Residuals> residuals,
                                         std::span<const MeasuredQuery> queries,
                                         HeadTheory& theory) {
  EnvelopeMeans means(residuals.size());
  std::vector<Envelope> envelopes(residuals.size());
  for (const std::size_t document : envelope_documents(options.envelope, queries.size())) {
    const MeasuredQuery& query = queries[document];
    // theory.md 5: contribution ranking depends on the norms, so it keeps the measured ones.
    const bool by_contribution = theory.ranking == Ranking::contribution;
    const std::vector<double> contributions =
        by_contribution ? query.contributions
                        : assumed_contributions(query.attention, assumptions, query.sink_visible);
    const RankedTokens tokens{contributions, query.order, query.sink_visible};
    model.start(tokens.size(),
                Random(options.envelope.seed, {kEnvelopeStream, head_number, document}));
    model.evaluate(tokens, assumptions, by_contribution ? 0.0 : assumptions.norm_spread, residuals,
                   envelopes);
    means.add(envelopes);
  }
  for (std::size_t n = 0; n < theory.sizes.size(); ++n) theory.sizes[n].envelope = means.mean(n);
}

void HeadEvaluator::State::draw_profile(std::uint64_t head_number,
                                        const HeadAssumptions& assumptions,
                                        std::span<const Residuals> residuals, bool sink_visible,
                                        HeadTheory& theory) {
  if (!assumptions.profile) return;
  EnvelopeMeans means(residuals.size());
  std::vector<Envelope> envelopes(residuals.size());
  const bool by_contribution = theory.ranking == Ranking::contribution;
  for (int draw = 0; draw < options.profile_draws; ++draw) {
    Random random(options.envelope.seed,
                  {kProfileStream, head_number, static_cast<std::uint64_t>(draw)});
    const std::vector<double> weights = draw_profile_weights(*assumptions.profile, random);
    std::vector<double> contributions = assumed_contributions(weights, assumptions, sink_visible);
    if (by_contribution) {
      std::vector<float> norms(weights.size());
      normal_draws(random, norms);
      log_normal_from_normal(norms, assumptions.norm_spread, norms);
      for (std::size_t i = sink_visible ? 1 : 0; i < norms.size(); ++i) {
        contributions[i] *= double{norms[i]};
      }
    }
    const std::span<const double> score = by_contribution ? contributions : weights;
    const RankedTokens tokens{contributions, ranker.by_score(score, score.size()), sink_visible};
    model.start(tokens.size(), random);
    model.evaluate(tokens, assumptions, by_contribution ? 0.0 : assumptions.norm_spread, residuals,
                   envelopes);
    means.add(envelopes);
  }
  for (std::size_t n = 0; n < theory.sizes.size(); ++n) theory.sizes[n].envelope = means.mean(n);
}

HeadEvaluator::HeadEvaluator(HeadTheoryOptions options)
    : state_(std::make_unique<State>(options)) {}
HeadEvaluator::~HeadEvaluator() = default;
HeadEvaluator::HeadEvaluator(HeadEvaluator&&) noexcept = default;

HeadTheory HeadEvaluator::evaluate(std::uint64_t head_number, const HeadAssumptions& assumptions,
                                   Ranking ranking, std::span<const std::size_t> sizes,
                                   std::span<const MeasuredQuery> queries) {
  assert(!queries.empty() && !sizes.empty());
  const RankingResiduals* row = assumptions.find(ranking);
  assert(row != nullptr && row->sizes.size() >= sizes.size());
  const std::span<const Residuals> residuals = std::span(row->sizes).first(sizes.size());
  HeadTheory theory = measured_alone(ranking, sizes, queries);
  for (TheoryAtSize& size : theory.sizes) {
    size.chernoff_f_score = size.uniform_precision = size.separation_guaranteed = 0.0;
  }
  state_->bound(assumptions, residuals, sizes, queries, theory);
  state_->regime(assumptions, residuals, queries, theory);
  if (state_->options.weights == WeightSource::measured) {
    state_->draw_measured(head_number, assumptions, residuals, queries, theory);
  } else {
    state_->draw_profile(head_number, assumptions, residuals, queries.front().sink_visible, theory);
  }
  std::vector<SizedScore> predicted;
  for (const TheoryAtSize& size : theory.sizes) {
    predicted.push_back({size.set_size, size.envelope.centre.f_score});
    if (size.set_size > 1 && !std::isnan(size.envelope.centre.f_score)) theory.predicted = true;
  }
  theory.predicted_half = half_size(predicted);
  return theory;
}

HeadTheory HeadEvaluator::measured_alone(Ranking ranking, std::span<const std::size_t> sizes,
                                         std::span<const MeasuredQuery> queries) {
  HeadTheory theory;
  theory.ranking = ranking;
  std::vector<SizedScore> measured;
  const auto documents = static_cast<double>(queries.size());
  for (std::size_t n = 0; n < sizes.size(); ++n) {
    TheoryAtSize& size = theory.sizes.emplace_back();
    size.set_size = static_cast<int>(sizes[n]);
    size.residuals.set_size = size.set_size;
    size.residuals.beta = size.residuals.sigma = kNan;
    size.chernoff_precision.mean = size.chernoff_recall.mean = kNan;
    size.chernoff_f_score = size.uniform_precision = size.separation_guaranteed = kNan;
    measure(queries, n, size);
    measured.push_back({size.set_size, size.f_score.mean});
  }
  for (const MeasuredQuery& query : queries) {
    theory.sink_mass += query.sink_visible ? query.attention[0] / documents : kNan;
    const std::size_t sink_rank = rank_of_sink(query.tokens());
    for (TheoryAtSize& size : theory.sizes) {
      if (sink_rank < static_cast<std::size_t>(size.set_size)) {
        size.sink_selected += 1.0 / documents;
      }
    }
  }
  theory.measured_half = half_size(measured);
  return theory;
}

}  // namespace toplens
