#include "intervention/budget.h"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <toplens/error.h>

#include "intervention/loss_change.h"

namespace toplens {
namespace {

std::vector<double> window_losses(const std::vector<WindowLoss>& losses) {
  std::vector<double> nll;
  for (const WindowLoss& loss : losses) nll.push_back(loss.nll_nats_per_token);
  return nll;
}

void check(const BudgetRequest& request, int num_visible) {
  if (!(request.tolerance > 0)) {
    throw Error(fmt::format("tolerance {}: must be above 0", request.tolerance));
  }
  int before = 0;
  for (const int size : request.curve_sizes) {
    if (size <= before || size >= num_visible) {
      throw Error(fmt::format("set size {} of the loss curves: sizes must increase within 1 to {}",
                              size, num_visible - 1));
    }
    before = size;
  }
  if (request.curve_sizes.empty()) throw Error("no set size for the loss curves is given");
}

/// One search for a budget.
class Finder {
 public:
  Finder(const BudgetRequest& request, TreatedLoss& calibration, Experiment& experiment,
         WaveListener* listener)
      : request_(request),
        calibration_(calibration),
        experiment_(experiment),
        listener_(listener),
        num_visible_(static_cast<int>(calibration.windows().front().token_ids.size())),
        num_heads_(static_cast<std::size_t>(calibration.config().num_layers) *
                   static_cast<std::size_t>(calibration.config().num_query_heads)) {}

  int num_visible() const { return num_visible_; }

  int uniform_size() {
    const Intervention whole = whole_model();
    const double tolerances[] = {request_.tolerance};
    return experiment_.find_needed_sizes({&whole, 1}, tolerances, listener_)[0].set_size;
  }

  HeadLossCurves measure_curves() {
    const ModelConfig& config = calibration_.config();
    std::vector<SizedIntervention> wanted;
    for (int layer = 0; layer < config.num_layers; ++layer) {
      for (int head = 0; head < config.num_query_heads; ++head) {
        for (const int size : request_.curve_sizes) {
          wanted.push_back(
              {{request_.ranking, request_.rule, Scope::one_head({layer, head})}, size});
        }
      }
    }
    experiment_.evaluate(wanted, listener_);
    HeadLossCurves curves;
    curves.num_visible = num_visible_;
    curves.sizes = request_.curve_sizes;
    curves.increases.resize(num_heads_);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      curves.increases[i / curves.sizes.size()].push_back(
          experiment_.change(wanted[i].intervention, wanted[i].set_size));
    }
    return curves;
  }

  /// The smallest total within the tolerance by each way to allocate one, all in the same waves.
  using Allocate = std::function<std::vector<int>(std::int64_t)>;
  std::vector<KeptTokens> search(const std::vector<Allocate>& ways) {
    const auto least = static_cast<std::int64_t>(num_heads_);
    const std::int64_t most = least * num_visible_;
    std::vector<std::map<std::int64_t, double>> changes(ways.size());
    while (true) {
      std::vector<KeptTokens> found;
      std::vector<std::pair<std::size_t, std::int64_t>> wanted;
      std::vector<std::vector<int>> budgets;
      for (std::size_t way = 0; way < ways.size(); ++way) {
        const TotalSearch step = search_total(changes[way], least, most, request_.tolerance);
        for (const std::int64_t total : step.wanted) {
          wanted.emplace_back(way, total);
          budgets.push_back(ways[way](total));
        }
        if (!step.total) continue;
        KeptTokens tokens;
        tokens.kept = ways[way](*step.total);
        if (*step.total < most) tokens.calibration_change = changes[way].at(*step.total);
        found.push_back(std::move(tokens));
      }
      if (wanted.empty()) return found;
      const std::vector<double> measured = measure(calibration_, budgets, experiment_.untreated());
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        changes[wanted[i].first][wanted[i].second] = measured[i];
      }
    }
  }

  /// Uniform at a total (allocate_uniform()), measured on the calibration windows.
  KeptTokens uniform(std::int64_t total) {
    KeptTokens tokens;
    tokens.kept = allocate_uniform(num_heads_, total, num_visible_);
    const auto [least, most] = std::minmax_element(tokens.kept.begin(), tokens.kept.end());
    if (*least >= num_visible_) return tokens;
    if (*least != *most) {
      tokens.calibration_change = measure(calibration_, {tokens.kept}, experiment_.untreated())[0];
      return tokens;
    }
    const SizedIntervention whole = {whole_model(), tokens.kept[0]};
    experiment_.evaluate({&whole, 1}, listener_);
    tokens.calibration_change = experiment_.change(whole.intervention, whole.set_size);
    return tokens;
  }

  /// Uniform sizes that lose no more than the budgets on the verification windows.
  void compare_losses(TreatedLoss& verification, std::vector<AllocatedBudget>& budgets) {
    std::vector<double> losses;
    for (const AllocatedBudget& budget : budgets) {
      if (budget.budget.verified_change > 0) losses.push_back(budget.budget.verified_change);
    }
    Experiment experiment(verification, request_.seed);
    const Intervention whole = whole_model();
    const auto needed = experiment.find_needed_sizes({&whole, 1}, losses, listener_);
    for (AllocatedBudget& budget : budgets) {
      for (const NeededSize& one : needed) {
        if (one.tolerance == budget.budget.verified_change) {
          budget.uniform_size_at_equal_verified_loss = one.set_size;
        }
      }
    }
  }

  /// Runs budgets on windows that had no part in choosing them.
  void verify(TreatedLoss& verification, const std::vector<KeptTokens*>& all) {
    std::vector<Treatment> treatments;
    for (const KeptTokens* tokens : all) treatments.push_back(treatment(tokens->kept));
    std::vector<const Treatment*> wave = {nullptr};
    for (const Treatment& one : treatments) wave.push_back(&one);
    const auto losses = verification.measure(wave, listener_);
    const std::vector<double> untreated = window_losses(losses[0]);
    const LossBootstrap bootstrap(untreated.size(), request_.seed);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::vector<double> treated = window_losses(losses[i + 1]);
      all[i]->verified_change = relative_change(treated, untreated);
      all[i]->verified_interval = bootstrap.change_interval(treated, untreated);
    }
  }

 private:
  Intervention whole_model() const { return {request_.ranking, request_.rule, Scope::model()}; }
  Treatment treatment(std::span<const int> kept) const {
    return budget_treatment(calibration_.config(), request_.ranking, request_.rule, kept,
                            request_.seed);
  }
  std::vector<double> measure(TreatedLoss& loss, const std::vector<std::vector<int>>& budgets,
                              std::span<const double> untreated) {
    std::vector<Treatment> treatments;
    for (const std::vector<int>& kept : budgets) treatments.push_back(treatment(kept));
    std::vector<const Treatment*> wave;
    for (const Treatment& one : treatments) wave.push_back(&one);
    std::vector<double> changes;
    for (const auto& losses : loss.measure(wave, listener_)) {
      changes.push_back(relative_change(window_losses(losses), untreated));
    }
    return changes;
  }

  const BudgetRequest& request_;
  TreatedLoss& calibration_;
  Experiment& experiment_;
  WaveListener* listener_;
  int num_visible_;
  std::size_t num_heads_;
};

}  // namespace

std::vector<int> powers_below(int context_length) {
  std::vector<int> sizes;
  for (int size = 1; size < context_length; size *= 2) sizes.push_back(size);
  return sizes;
}

const AllocatedBudget& BudgetResult::smallest() const {
  return *std::min_element(budgets.begin(), budgets.end(), [](const auto& a, const auto& b) {
    return total_kept(a.budget.kept) < total_kept(b.budget.kept);
  });
}

Treatment budget_treatment(const ModelConfig& config, Ranking ranking, RemovalRule rule,
                           std::span<const int> kept, std::uint64_t seed) {
  Treatment treatment(ranking, rule, config.num_layers, config.num_query_heads, seed);
  for (std::size_t head = 0; head < kept.size(); ++head) {
    const int index = static_cast<int>(head);
    treatment.set({index / config.num_query_heads, index % config.num_query_heads}, kept[head]);
  }
  return treatment;
}

BudgetResult find_budgets(const BudgetRequest& request, TreatedLoss& calibration,
                          Experiment& experiment, TreatedLoss& verification,
                          std::vector<HeadNeed> needs, WaveListener* listener) {
  Finder finder(request, calibration, experiment, listener);
  const int num_visible = finder.num_visible();
  check(request, num_visible);
  BudgetResult result;
  const int uniform_size = finder.uniform_size();
  result.curves = finder.measure_curves();
  result.needs = std::move(needs);
  const auto heads = static_cast<std::int64_t>(result.curves.num_heads());
  result.uniform_at_equal_loss = finder.uniform(heads * uniform_size);

  const SensitivityAllocator sensitivity(result.curves);
  std::vector<double> need;
  for (const HeadNeed& one : result.needs) need.push_back(one.tokens(num_visible));
  std::vector<Finder::Allocate> ways;
  for (const AllocationRule allocation : request.allocations) {
    if (allocation == AllocationRule::geometric) {
      ways.emplace_back(
          [&](std::int64_t total) { return allocate_in_proportion(need, total, num_visible); });
    }
    if (allocation == AllocationRule::sensitivity) {
      ways.emplace_back([&](std::int64_t total) { return sensitivity.allocate(total); });
    }
  }
  std::vector<KeptTokens> found = finder.search(ways);
  std::size_t next = 0;
  for (const AllocationRule allocation : request.allocations) {
    AllocatedBudget budget;
    budget.allocation = allocation;
    // theory.md (32) for the uniform rule.
    budget.budget = allocation == AllocationRule::uniform ? result.uniform_at_equal_loss
                                                          : std::move(found[next++]);
    budget.predicted_change = predicted_increase(result.curves, budget.budget.kept);
    budget.uniform_at_equal_total = finder.uniform(total_kept(budget.budget.kept));
    result.budgets.push_back(std::move(budget));
  }
  std::vector<KeptTokens*> all = {&result.uniform_at_equal_loss};
  for (AllocatedBudget& budget : result.budgets) {
    all.push_back(&budget.budget);
    all.push_back(&budget.uniform_at_equal_total);
  }
  finder.verify(verification, all);
  finder.compare_losses(verification, result.budgets);
  return result;
}

}  // namespace toplens
