#include "theory/fit_profile.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numeric>
#include <span>
#include <vector>

#include "statistics/hotelling.h"
#include "statistics/moments.h"
#include "theory/profile_search.h"

namespace toplens {

namespace {

constexpr std::size_t kLeastDocumentsForOscillation = 16;
constexpr double kSignificance = 0.01;
constexpr double kLeastGain = 0.05;

/// The documents' log-weights and their means by position.
class LogWeights {
 public:
  LogWeights(const AssumptionView& records, std::size_t layer, std::size_t head) {
    for (std::size_t d = 0; d < records.shape.documents; ++d) {
      LogCurve curve;
      for (const float weight : records.weights_of(d, layer, head)) {
        curve.push_back(weight > 0.0f ? std::log(double{weight}) : kNotEstimable);
      }
      curves_.push_back(std::move(curve));
    }
  }

  const std::vector<LogCurve>& curves() const { return curves_; }

  LogCurve mean_over(std::size_t first, std::size_t step) const {
    LogCurve sums(curves_[0].size(), 0.0);
    std::vector<double> counts(sums.size(), 0.0);
    for (std::size_t d = first; d < curves_.size(); d += step) {
      for (std::size_t x = 0; x < sums.size(); ++x) {
        if (std::isnan(curves_[d][x])) continue;
        sums[x] += curves_[d][x];
        counts[x] += 1.0;
      }
    }
    for (std::size_t x = 0; x < sums.size(); ++x) {
      sums[x] = counts[x] > 0.0 ? sums[x] / counts[x] : kNotEstimable;
    }
    return sums;
  }

 private:
  std::vector<LogCurve> curves_;
};

double variation(const LogCurve& curve, int begin, int end) {
  std::vector<double> values;
  for (int x = begin; x < end; ++x) {
    const double y = curve[static_cast<std::size_t>(x)];
    if (!std::isnan(y)) values.push_back(y);
  }
  if (values.size() < 2) return 0.0;
  const double sd = standard_deviation(values);
  return sd * sd * static_cast<double>(values.size() - 1);
}

/// Decides on the phases: structures are found on odd documents and judged on even ones.
class PhaseJudge {
 public:
  PhaseJudge(const LogWeights& weights, ProfileFit& fit)
      : weights_(weights),
        odd_(weights.mean_over(1, 2)),
        even_(weights.mean_over(0, 2)),
        fit_(fit),
        length_(static_cast<int>(odd_.size())) {}

  void judge() {
    ProfileStructure structure{length_, length_, 0.0};
    const std::optional<ProfileStructure> recency = search_recency(odd_, structure);
    fit_.recency.reason = FitReason::held_out_error;
    if (recency) judge_recency(structure, *recency);
    if (fit_.recency.present()) structure = *recency;
    judge_oscillation(structure);
    if (!fit_.oscillation.present() || !recency) return;
    // The recency once more, beside the oscillation.
    ProfileStructure without = structure_;
    without.recency_start = length_;
    if (const auto beside = search_recency(odd_, without)) judge_recency(without, *beside);
  }

 private:
  /// Share of the even documents' squared error that `with` takes away from `without`.
  double gain(const ProfileStructure& without, const ProfileStructure& with) const {
    const auto fitted_without = fit_structure(odd_, without);
    const auto fitted_with = fit_structure(odd_, with);
    if (!fitted_without || !fitted_with) return 0.0;
    const double reference = squared_error(even_, fitted_without->profile);
    return reference > 0.0 ? 1.0 - squared_error(even_, fitted_with->profile) / reference : 0.0;
  }

  void judge_recency(const ProfileStructure& without, const ProfileStructure& with) {
    fit_.recency.held_out_gain = gain(without, with);
    fit_.recency.reason =
        fit_.recency.held_out_gain >= kLeastGain ? FitReason::estimated : FitReason::held_out_error;
  }

  void judge_oscillation(const ProfileStructure& structure) {
    ProfilePhase& phase = fit_.oscillation;
    if (weights_.curves().size() < kLeastDocumentsForOscillation) {
      phase.reason = FitReason::too_few_documents_for_oscillation;
      return;
    }
    const std::optional<ProfileStructure> found = search_oscillation(odd_, structure);
    if (!found) {
      phase.reason = FitReason::segment_too_short;
      return;
    }
    std::vector<std::complex<double>> coefficients;
    for (std::size_t d = 0; d < weights_.curves().size(); d += 2) {
      const auto z = fourier_coefficient(weights_.curves()[d], found->oscillation_start,
                                         found->recency_start, found->period);
      if (z) coefficients.push_back(*z);
    }
    fit_.oscillation_p_value = hotelling_p_value(coefficients);
    phase.held_out_gain = gain(structure, *found);
    phase.reason = !(fit_.oscillation_p_value < kSignificance) ? FitReason::no_common_period
                   : !(phase.held_out_gain >= kLeastGain)      ? FitReason::held_out_error
                                                               : FitReason::estimated;
    if (phase.present()) structure_ = *found;
  }

  const LogWeights& weights_;
  LogCurve odd_, even_;
  ProfileFit& fit_;
  int length_;
  ProfileStructure structure_;
};

/// The present phases on all documents.
std::optional<FittedStructure> fit_all(const LogCurve& curve, const ProfileFit& fit) {
  const int length = static_cast<int>(curve.size());
  ProfileStructure structure{length, length, 0.0};
  if (fit.recency.present()) structure = search_recency(curve, structure).value_or(structure);
  if (fit.oscillation.present()) {
    structure = search_oscillation(curve, structure).value_or(structure);
    if (fit.recency.present()) structure = search_recency(curve, structure).value_or(structure);
  }
  return fit_structure(curve, structure);
}

void describe_phase(ProfilePhase& phase, int begin, int end, const AssumptionView& records,
                    std::size_t layer, std::size_t head, const LogWeights& weights,
                    const LogCurve& curve, const AttentionProfile& profile) {
  phase.begin = begin;
  phase.end = end;
  const std::size_t documents = weights.curves().size();
  std::vector<double> residuals, masses, levels;
  for (std::size_t d = 0; d < documents; ++d) {
    const std::span<const float> row = records.weights_of(d, layer, head);
    double mass = 0.0, level = 0.0;
    const std::size_t before = residuals.size();
    for (int position = begin; position < end; ++position) {
      const auto x = static_cast<std::size_t>(position);
      mass += double{row[x]};
      const double y = weights.curves()[d][x];
      if (std::isnan(y)) continue;
      residuals.push_back(y - profile.log_weight(position));
      level += residuals.back();
    }
    masses.push_back(mass);
    if (const std::size_t found = residuals.size() - before; found > 0) {
      levels.push_back(level / static_cast<double>(found));
    }
  }
  phase.mass = std::accumulate(masses.begin(), masses.end(), 0.0) / static_cast<double>(documents);
  phase.mass_spread = standard_deviation(masses);
  if (residuals.empty()) {
    phase.reason = FitReason::zero_weights;
    return;
  }
  if (levels.size() > 1) phase.level_spread = standard_deviation(levels);
  double absolute = 0.0, squares = 0.0, positions = 0.0;
  for (int position = begin; position < end; ++position) {
    const double y = curve[static_cast<std::size_t>(position)];
    if (std::isnan(y)) continue;
    const double expected = profile.log_weight(position);
    positions += 1.0;
    absolute += std::abs(y - expected);
    squares += (y - expected) * (y - expected);
  }
  double sum = 0.0;
  for (const double residual : residuals) sum += residual * residual;
  phase.residual_sd = std::sqrt(sum / static_cast<double>(residuals.size()));
  phase.mean_absolute_error = absolute / positions;
  const double total = variation(curve, begin, end);
  phase.r_squared = total > 0.0 ? 1.0 - squares / total : 0.0;
}

/// Root mean square over positions >= 1 from those of the phases.
double pooled_residual_sd(const LogWeights& weights, const AttentionProfile& profile) {
  double squares = 0.0, count = 0.0;
  for (int position = 1; position < profile.length; ++position) {
    const double expected = profile.log_weight(position);
    for (const LogCurve& document : weights.curves()) {
      const double y = document[static_cast<std::size_t>(position)];
      if (std::isnan(y)) continue;
      squares += (y - expected) * (y - expected);
      count += 1.0;
    }
  }
  return std::sqrt(squares / count);
}

}  // namespace

ProfileFit fit_profile(const AssumptionView& records, std::size_t layer, std::size_t head) {
  ProfileFit fit;
  fit.documents = records.shape.documents;
  const auto fail = [&](FitReason reason) {
    fit.reason = reason;
    for (ProfilePhase* phase : {&fit.sink, &fit.plateau, &fit.oscillation, &fit.recency}) {
      phase->reason = reason;
    }
    return fit;
  };
  if (fit.documents < kLeastDocuments) return fail(FitReason::too_few_documents);
  if (records.visible(layer) < 1 + static_cast<std::size_t>(kLeastPlateau)) {
    return fail(FitReason::too_few_tokens_for_profile);
  }
  const LogWeights weights(records, layer, head);
  for (const LogCurve& curve : weights.curves()) {
    for (std::size_t x = 0; x < curve.size(); ++x) {
      if (std::isnan(curve[x])) {
        ++fit.zero_weights;
      } else if (x > 0) {
        ++fit.log_weights;
      }
    }
  }
  const LogCurve curve = weights.mean_over(0, 1);
  PhaseJudge(weights, fit).judge();
  const std::optional<FittedStructure> fitted = fit_all(curve, fit);
  if (!fitted) return fail(FitReason::zero_weights);

  AttentionProfile profile = fitted->profile;
  profile.residual_sd = pooled_residual_sd(weights, profile);
  fit.sink.reason = std::isnan(curve[0]) ? FitReason::zero_weights : FitReason::estimated;
  profile.sink_log_weight =
      std::isnan(curve[0]) ? -std::numeric_limits<double>::infinity() : curve[0];
  const auto describe = [&](ProfilePhase& phase, int begin, int end) {
    describe_phase(phase, begin, end, records, layer, head, weights, curve, profile);
  };
  if (fit.sink.present()) {
    describe(fit.sink, 0, 1);
    profile.sink_residual_sd = fit.sink.residual_sd;
  }
  fit.plateau.reason = FitReason::estimated;
  describe(fit.plateau, 1, std::min(profile.oscillation_start, profile.recency_start));
  if (fit.oscillation.present()) {
    describe(fit.oscillation, profile.oscillation_start, profile.recency_start);
  }
  if (fit.recency.present()) describe(fit.recency, profile.recency_start, profile.length);

  double absolute = 0.0, positions = 0.0;
  for (int x = 1; x < profile.length; ++x) {
    const double y = curve[static_cast<std::size_t>(x)];
    if (std::isnan(y)) continue;
    absolute += std::abs(y - profile.log_weight(x));
    positions += 1.0;
  }
  fit.mean_absolute_error = absolute / positions;
  const double total = variation(curve, 1, profile.length);
  fit.r_squared = total > 0.0 ? 1.0 - fitted->squared_error / total : 0.0;
  fit.profile = profile;
  return fit;
}

}  // namespace toplens
