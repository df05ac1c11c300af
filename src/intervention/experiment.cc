#include "intervention/experiment.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <toplens/error.h>

#include "intervention/loss_change.h"

namespace toplens {
namespace {

/// What an interruption of a long wave can lose, and what keeps many ranks busy.
constexpr std::size_t kTreatmentsAtOnce = 64;
constexpr std::size_t kTreatmentsPerRank = 8;

auto key(const Intervention& i) {
  return std::tuple(i.ranking, i.rule, i.scope.kind, i.scope.head.layer, i.scope.head.query_head);
}

}  // namespace

bool operator<(const Intervention& a, const Intervention& b) { return key(a) < key(b); }
bool operator==(const Intervention& a, const Intervention& b) { return key(a) == key(b); }

std::vector<Intervention> combine(std::span<const Ranking> rankings,
                                  std::span<const RemovalRule> rules,
                                  std::span<const Scope> scopes) {
  std::vector<Intervention> all;
  for (const Ranking ranking : rankings) {
    for (const RemovalRule rule : rules) {
      for (const Scope& scope : scopes) all.push_back({ranking, rule, scope});
    }
  }
  return all;
}

Treatment make_treatment(const SizedIntervention& wanted, const ModelConfig& config,
                         std::uint64_t seed) {
  if (wanted.set_size < 1) {
    throw Error(fmt::format("set size {}: at least one token must be kept", wanted.set_size));
  }
  check(wanted.intervention.scope, config);
  Treatment treatment(wanted.intervention.ranking, wanted.intervention.rule, config.num_layers,
                      config.num_query_heads, seed);
  set_size_in(wanted.intervention.scope, wanted.set_size, treatment);
  return treatment;
}

Experiment::Experiment(TreatedLoss& loss, std::uint64_t seed) : loss_(loss), seed_(seed) {}

void Experiment::evaluate(std::span<const SizedIntervention> wanted, WaveListener* listener) {
  std::vector<SizedIntervention> missing;
  std::set<std::pair<Intervention, int>> seen;
  for (const SizedIntervention& one : wanted) {
    const auto found = outcomes_.find(one.intervention);
    if (found != outcomes_.end() && found->second.count(one.set_size) > 0) continue;
    if (seen.emplace(one.intervention, one.set_size).second) missing.push_back(one);
  }
  if (missing.empty() && untreated_.empty()) evaluate_some({}, listener);
  const std::size_t at_once =
      std::max(kTreatmentsAtOnce, kTreatmentsPerRank * static_cast<std::size_t>(loss_.ranks()));
  for (std::size_t first = 0; first < missing.size(); first += at_once) {
    evaluate_some(std::span(missing).subspan(first, std::min(at_once, missing.size() - first)),
                  listener);
    if (on_evaluated_) on_evaluated_();
  }
}

void Experiment::evaluate_some(std::span<const SizedIntervention> missing, WaveListener* listener) {
  std::vector<Treatment> treatments;
  for (const SizedIntervention& one : missing) {
    treatments.push_back(make_treatment(one, loss_.config(), seed_));
  }
  std::vector<const Treatment*> wave;
  if (untreated_.empty()) wave.push_back(nullptr);
  for (const Treatment& one : treatments) wave.push_back(&one);
  const std::vector<std::vector<WindowLoss>> losses = loss_.measure(wave, listener);
  const std::size_t first = wave.size() - missing.size();
  for (std::size_t i = 0; i < losses.size(); ++i) {
    Outcome outcome;
    for (const WindowLoss& window : losses[i]) {
      outcome.nll.push_back(window.nll_nats_per_token);
      outcome.rows_without_mass += window.rows_without_mass;
    }
    if (i < first) {
      untreated_ = std::move(outcome.nll);
    } else {
      const SizedIntervention& one = missing[i - first];
      outcomes_[one.intervention][one.set_size] = std::move(outcome);
    }
  }
  if (!(mean_nll(untreated_) > 0)) {
    throw Error(fmt::format("the untreated NLL is {}: relative changes need one above 0",
                            mean_nll(untreated_)));
  }
}

std::vector<NeededSize> Experiment::find_needed_sizes(std::span<const Intervention> interventions,
                                                      std::span<const double> tolerances,
                                                      WaveListener* listener) {
  for (const double tolerance : tolerances) {
    if (!(tolerance > 0)) throw Error(fmt::format("tolerance {}: must be above 0", tolerance));
  }
  const auto num_visible = static_cast<int>(loss_.windows().front().token_ids.size());
  while (true) {
    std::vector<NeededSize> found;
    std::vector<SizedIntervention> wave;
    for (const Intervention& intervention : interventions) {
      LossChanges changes;
      for (const int size : evaluated_sizes(intervention)) {
        changes[size] = change(intervention, size);
      }
      for (const double tolerance : tolerances) {
        ToleranceSearch search = search_tolerance(changes, num_visible, tolerance);
        for (const int size : search.wanted) wave.push_back({intervention, size});
        if (search.set_size) {
          found.push_back({intervention, tolerance, *search.set_size, std::move(search.visited)});
        }
      }
    }
    if (wave.empty()) {
      if (untreated_.empty()) evaluate({}, listener);  // windows of one token
      return found;
    }
    evaluate(wave, listener);
  }
}

void Experiment::restore_untreated(std::span<const double> losses) {
  check_number(losses);
  untreated_.assign(losses.begin(), losses.end());
}

void Experiment::restore(const SizedIntervention& evaluated, std::span<const double> losses,
                         std::uint64_t rows_without_mass) {
  check_number(losses);
  outcomes_[evaluated.intervention][evaluated.set_size] = {{losses.begin(), losses.end()},
                                                           rows_without_mass};
}

void Experiment::check_number(std::span<const double> losses) const {
  if (losses.size() == loss_.windows().size()) return;
  throw Error(
      fmt::format("losses of {} documents, expected {}", losses.size(), loss_.windows().size()));
}

std::span<const double> Experiment::losses(const Intervention& intervention, int set_size) const {
  return outcomes_.at(intervention).at(set_size).nll;
}

std::uint64_t Experiment::rows_without_mass(const Intervention& intervention, int set_size) const {
  return outcomes_.at(intervention).at(set_size).rows_without_mass;
}

double Experiment::change(const Intervention& intervention, int set_size) const {
  return relative_change(losses(intervention, set_size), untreated_);
}

std::vector<int> Experiment::evaluated_sizes(const Intervention& intervention) const {
  std::vector<int> sizes;
  const auto found = outcomes_.find(intervention);
  if (found == outcomes_.end()) return sizes;
  for (const auto& [size, outcome] : found->second) sizes.push_back(size);
  return sizes;
}

}  // namespace toplens
