#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "intervention/scope.h"
#include "intervention/tolerance_search.h"
#include "intervention/treated_loss.h"

namespace toplens {

/// What is done to the attention, but for how many tokens are kept.
struct Intervention {
  Ranking ranking = Ranking::attention;
  RemovalRule rule = RemovalRule::remove;
  Scope scope;
};

bool operator<(const Intervention& a, const Intervention& b);
bool operator==(const Intervention& a, const Intervention& b);

/// Every combination, rankings outermost.
std::vector<Intervention> combine(std::span<const Ranking> rankings,
                                  std::span<const RemovalRule> rules,
                                  std::span<const Scope> scopes);

/// An intervention that keeps the top N tokens.
struct SizedIntervention {
  Intervention intervention;
  int set_size = 0;
};

/// What the engine does to the lanes. `seed` decides random rankings. Throws Error for N < 1 or a
/// scope outside the model.
Treatment make_treatment(const SizedIntervention& wanted, const ModelConfig& config,
                         std::uint64_t seed);

/// N*_tau of an intervention (theory.md (32)).
struct NeededSize {
  Intervention intervention;
  double tolerance = 0;
  int set_size = 0;          ///< the windows' length where no smaller size passes
  std::vector<int> visited;  ///< evaluated sizes that the search looked at, increasing
};

/// Losses of windows under interventions, each evaluated once.
class Experiment {
 public:
  /// `seed` decides random rankings.
  Experiment(TreatedLoss& loss, std::uint64_t seed);

  /// Evaluates those that have not been, as one wave of lanes, and with the first wave the
  /// untreated model. Throws Error for N < 1, scopes outside the model, or an untreated loss that
  /// is not above 0.
  void evaluate(std::span<const SizedIntervention> wanted, WaveListener* listener = nullptr);

  /// Called whenever some of a long wave has been evaluated.
  void set_on_evaluated(std::function<void()> action) { on_evaluated_ = std::move(action); }
  /// Takes over what an earlier run evaluated on the same windows.
  void restore_untreated(std::span<const double> losses);
  void restore(const SizedIntervention& evaluated, std::span<const double> losses,
               std::uint64_t rows_without_mass);

  /// N* for every intervention and tolerance: all powers of two as one wave, then the bisections of
  /// all together (theory.md 7). All windows have the same length. Throws Error for tolerances <=
  /// 0.
  std::vector<NeededSize> find_needed_sizes(std::span<const Intervention> interventions,
                                            std::span<const double> tolerances,
                                            WaveListener* listener = nullptr);

  /// Mean token NLL of each window, untreated and of what has been evaluated.
  std::span<const double> untreated() const { return untreated_; }
  std::span<const double> losses(const Intervention& intervention, int set_size) const;
  std::uint64_t rows_without_mass(const Intervention& intervention, int set_size) const;
  double change(const Intervention& intervention, int set_size) const;
  /// The sizes evaluated of an intervention, increasing.
  std::vector<int> evaluated_sizes(const Intervention& intervention) const;

 private:
  struct Outcome {
    std::vector<double> nll;
    std::uint64_t rows_without_mass = 0;
  };
  void check_number(std::span<const double> losses) const;
  void evaluate_some(std::span<const SizedIntervention> missing, WaveListener* listener);

  TreatedLoss& loss_;
  std::uint64_t seed_;
  std::function<void()> on_evaluated_;
  std::vector<double> untreated_;
  std::map<Intervention, std::map<int, Outcome>> outcomes_;
};

}  // namespace toplens
