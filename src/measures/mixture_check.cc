#include "measures/mixture_check.h"

#include <array>
#include <cmath>

#include "statistics/moments.h"

namespace toplens {
namespace {

constexpr std::array<Measure, 9> kFeatures = {
    Measure::sink_mass,         Measure::final_mass,
    Measure::recency_mass,      Measure::log_effective_number,
    Measure::separability,      Measure::small_n_f_score,
    Measure::sink_similarity,   Measure::sink_aggregate_similarity,
    Measure::attention_distance};

}  // namespace

MixtureCheck check_mixture(const std::vector<HeadSummary>& heads, const MixtureOptions& options) {
  MixtureCheck check;
  std::vector<std::vector<double>> columns(kFeatures.size() + 1);
  std::vector<std::size_t> labels;
  for (std::size_t row = 0; row < heads.size(); ++row) {
    const HeadSummary& head = heads[row];
    if (head.regime().label.regime == Regime::undefined) continue;
    std::vector<double> values;
    for (const Measure feature : kFeatures) values.push_back(head[feature].mean);
    values.push_back(head.output_ratio.mean);
    bool defined = true;
    for (const double value : values) defined = defined && !std::isnan(value);
    if (!defined) continue;
    check.rows.push_back(row);
    labels.push_back(static_cast<std::size_t>(head.regime().label.regime));
    for (std::size_t c = 0; c < values.size(); ++c) columns[c].push_back(values[c]);
  }
  check.heads = check.rows.size();
  if (check.heads < options.least_points) {
    check.reason = "too few heads";
    return check;
  }
  std::vector<std::vector<double>> used;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    const double spread = standard_deviation(columns[c]);
    if (!(spread > 0.0)) continue;
    const double centre = mean(columns[c]);
    for (double& value : columns[c]) value = (value - centre) / spread;
    used.push_back(std::move(columns[c]));
    check.features.emplace_back(c < kFeatures.size() ? row_of(kFeatures[c]).name : "output_ratio");
  }
  if (used.empty()) {
    check.reason = "all heads have the same signature";
    return check;
  }
  std::vector<double> points(check.heads * used.size());
  for (std::size_t i = 0; i < check.heads; ++i) {
    for (std::size_t c = 0; c < used.size(); ++c) points[i * used.size() + c] = used[c][i];
  }
  check.fit = fit_mixture({points.data(), check.heads, used.size()}, options);
  if (check.heads < 2 * options.least_points) {
    check.reason = "too few heads for more than one group";
    return check;
  }
  check.adjusted_rand_index = adjusted_rand_index(check.fit.assignment, labels);
  return check;
}

}  // namespace toplens
