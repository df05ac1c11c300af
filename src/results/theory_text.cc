#include "results/theory_text.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "results/theory_json.h"

namespace toplens {
namespace {

constexpr std::string_view kRow = "  {:<14}";
/// Below this median share of attention nobody would speak of a sink.
constexpr double kSmallSinkMass = 0.1;

std::string number(double value) { return std::isnan(value) ? "-" : fmt::format("{:.3f}", value); }

void add_reasons(std::string& text, const std::map<std::string, std::size_t>& reasons) {
  std::vector<std::pair<std::size_t, std::string>> sorted;
  for (const auto& [reason, count] : reasons) sorted.emplace_back(count, reason);
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  for (const auto& [count, reason] : sorted) {
    text += fmt::format("      {:>4}  {}\n", count, reason);
  }
}

std::string percent(double share) {
  return std::isnan(share) ? "-" : fmt::format("{:.0f}%", 100 * share);
}

std::string of_heads(std::size_t count, std::size_t all) {
  return fmt::format("{} of {} heads", count, all);
}

/// What holds, in words; medians are over the heads where the figure could be estimated.
std::string assumption_lines(const AssumptionCounts& c) {
  std::string text = "Assumptions, fitted by head (figures are medians over heads)\n";
  text += fmt::format("  A1  stable norms: the values' norms vary by {} of their mean\n",
                      percent(c.norm_spread));
  add_reasons(text, c.norm_reasons);
  if (c.sinks_estimated == 0) {
    text += "      the sink: token 0 is visible to no head\n";
  } else {
    text += fmt::format("      compressed sink: in {}; token 0's norm is {:.2f} of the mean\n",
                        of_heads(c.sinks_compressed, c.sinks_estimated), c.sink_norm_ratio);
  }
  text += fmt::format("  A2  similarity decays exponentially: in {}",
                      of_heads(c.decay_present, c.similarity_estimated));
  if (c.decay_present > 0) text += fmt::format(", over {:.1f} tokens", c.decay_length);
  text += fmt::format("; mean cosine far apart {}, with token 0 {}\n", number(c.mean_cosine),
                      number(c.sink_similarity));
  add_reasons(text, c.decay_reasons);
  if (c.similarity_not_applicable > 0) {
    text += fmt::format(
        "      not applicable to {}: over 5% of their unselected tokens have a near-duplicate "
        "among the selected\n",
        of_heads(c.similarity_not_applicable, c.heads));
  }
  text += fmt::format(
      "  A3  attention by position: recency in {}, oscillation in {}; the profile explains {} "
      "of the variance of the mean log-weights\n",
      of_heads(c.recency_present, c.profile_estimated), c.oscillation_present,
      percent(c.profile_r_squared));
  add_reasons(text, c.profile_reasons);
  if (!std::isnan(c.sink_mass)) {
    text += fmt::format(
        "  The sink, token 0, holds {} of the attention{}\n", number(c.sink_mass),
        c.sink_mass < kSmallSinkMass ? ": most of these heads have no attention sink" : "");
  }
  text += fmt::format(
      "  Residuals: sigma {} in d = {}, {} in the values' effective rank {:.1f} (1: isotropic)\n",
      number(c.sigma), c.head_dim, number(c.effective_sigma), c.effective_rank);
  return text;
}

/// One row of the coverage table: the three metrics of some cells.
template <typename Cells>
std::string coverage_row(std::string_view label, std::uint64_t seed, const Cells& cells) {
  std::string row = fmt::format(kRow, label);
  CoverageSummary last;
  for (const auto& [metric, metric_name] : kMetricNames) {
    last = summarize_coverage(cells(metric), seed);
    if (last.cells == 0) return "";
    row += fmt::format("   {:>6.3f} {:>6.3f} {:>6.3f}", last.coverage.mean, last.centre_error.mean,
                       last.baseline_error.mean);
  }
  return row + "\n";
}

std::string coverage_table(const PooledTheory& theory, std::size_t ranking, std::uint64_t seed) {
  const std::vector<HeadTheory>& heads = theory.run.heads_of[ranking];
  std::string text = fmt::format(kRow, "");
  for (const std::string_view title : {"precision", "recall", "F-score"}) {
    text += fmt::format("   {:^20}", title);
  }
  text += "\n";
  text += fmt::format(kRow, "");
  for (int i = 0; i < 3; ++i) text += fmt::format("   {:>6} {:>6} {:>6}", "cover", "error", "base");
  text += "\n";
  text += coverage_row("all, N >= 2", seed, [&](Metric m) { return coverage_cells(heads, m); });
  for (const LayerRange& range : layer_thirds(theory.run.layers)) {
    const auto part = std::span(heads).subspan(range.first * theory.run.heads,
                                               (range.end - range.first) * theory.run.heads);
    const std::string label = range.end - range.first > 1
                                  ? fmt::format("layers {}-{}", range.first, range.end - 1)
                                  : fmt::format("layer {}", range.first);
    text += coverage_row(label, seed, [&](Metric m) { return coverage_cells(part, m); });
  }
  for (const int size : theory.shape.layout.set_sizes) {
    if (size < 2) continue;
    text += coverage_row(fmt::format("N = {}", size), seed,
                         [&](Metric m) { return coverage_cells(heads, m, size); });
  }
  return text;
}

std::string strict_and_width(std::span<const HeadTheory> heads, std::uint64_t seed) {
  std::string strict = "  strict coverage (tolerance 0)", width = "  mean width of the envelope  ";
  for (const auto& [metric, metric_name] : kMetricNames) {
    const CoverageSummary all = summarize_coverage(coverage_cells(heads, metric), seed);
    if (all.cells == 0) return "";
    strict += fmt::format("   {} {}", metric_name, show(all.strict_coverage));
    width += fmt::format("   {} {}", metric_name, show(all.width));
  }
  return strict + "\n" + width + "\n";
}

/// Whether the prediction says more of the heads than their mean does.
std::string finding(std::span<const HeadTheory> heads) {
  const CoverageSummary f = summarize_coverage(coverage_cells(heads, Metric::f_score));
  if (f.cells == 0 || f.baseline_error.mean == 0.0) return "";
  const double gain = 1.0 - f.centre_error.mean / f.baseline_error.mean;
  return fmt::format(
      "The predicted F is {:.3f} off on average, the mean over heads {:.3f}: the fitted "
      "assumptions "
      "say {} of a head's F {} that mean does.\n",
      f.centre_error.mean, f.baseline_error.mean,
      std::abs(gain) < 0.05 ? "about as much"
      : gain > 0            ? "more"
                            : "less",
      std::abs(gain) < 0.05 ? "as" : "than");
}

std::string checks(const PooledTheory& theory, std::size_t ranking, std::uint64_t seed) {
  const std::vector<HeadTheory>& heads = theory.run.heads_of[ranking];
  const ConditionalCheck check = check_conditional(heads);
  std::string text = fmt::format(
      "Conditional bounds: Chernoff at most the measured mean (3 SE) in {} of {} cells, Gaussian "
      "precision within 0.05 in {}\n",
      check.below, check.cells, check.near);
  const RegimeCorrelations regime = regime_correlations(heads, seed);
  text += fmt::format(
      "First N with F < 0.5, Spearman over heads: measured with predicted {}, with N_crit {}\n",
      show(regime.predicted), show(regime.critical));
  const std::vector<SinkCorrelations> sinks =
      sink_correlations(heads, sink_similarities(theory.run.fits), seed);
  if (!sinks.empty()) {
    text += fmt::format(
        "Sink similarity with recall, Spearman over heads by whether token 0 is selected "
        "(theory.md (26): rising where it is)\n  {:>5} {:>6} {:<24} {:<24} {:>6} {:<24} {:>6} {}\n",
        "N", "heads", "selected", "sink mass taken out", "heads", "not selected", "heads", "all");
  }
  for (const SinkCorrelations& row : sinks) {
    text += fmt::format("  {:>5} {:>6} {:<24} {:<24} {:>6} {:<24} {:>6} {}\n", row.set_size,
                        row.selected.observations, show(row.selected), show(row.selected_partial),
                        row.unselected.observations, show(row.unselected), row.all.observations,
                        show(row.all));
  }
  std::vector<std::string> best;
  for (const auto& [set_size, count] : best_small_sizes(heads)) {
    best.push_back(fmt::format("N = {} in {}", set_size, count));
  }
  if (!best.empty()) {
    text += fmt::format("Largest F at N >= 2, heads: {}\n", fmt::join(best, ", "));
  }
  return text;
}

}  // namespace

std::string show(const HeadMean& mean) {
  if (!mean.interval) return fmt::format("{:.3f}", mean.mean);
  return fmt::format("{:.3f} [{:.3f}, {:.3f}]", mean.mean, mean.interval->low, mean.interval->high);
}

std::string show(const RankCorrelation& correlation) {
  if (!correlation.value) return fmt::format("none: {}", why_undefined(correlation));
  if (!correlation.interval) return fmt::format("{:.3f}", *correlation.value);
  return fmt::format("{:.3f} [{:.3f}, {:.3f}]", *correlation.value, correlation.interval->low,
                     correlation.interval->high);
}

std::string theory_summary(const PooledTheory& theory, const RunTheoryOptions& options) {
  const AssumptionCounts counts = count_assumptions(theory.run);
  if (counts.norms_estimated == 0) {
    std::string text =
        fmt::format("Theory: nothing could be fitted in any of {} heads\n", counts.heads);
    add_reasons(text, counts.norm_reasons);
    return text;
  }
  std::string text = assumption_lines(counts);
  for (std::size_t r = 0; r < theory.run.rankings.size(); ++r) {
    if (!has_prediction(theory.run.rankings[r])) continue;
    text += fmt::format(
        "\nPrediction beside measurement: {} ranking, final query, {} weights, {} residuals, d: "
        "{}\n"
        "(cover: the envelope meets measured mean +- tolerance; error: |predicted - measured|;\n"
        "base: the error of the mean over heads)\n\n",
        name(theory.run.rankings[r]), name_in(kWeightSourceNames, options.head.weights),
        name_in(kResidualSourceNames, options.residuals),
        name_in(kEffectiveDimensionNames, options.dimension));
    if (options.dimension == EffectiveDimension::effective_rank &&
        options.residuals == ResidualSource::fitted) {
      text += "With fitted residuals d cancels: bounds and predictions are those of head_dim.\n\n";
    }
    if (coverage_cells(theory.run.heads_of[r], Metric::f_score).empty()) {
      return text + "No set size N >= 2 is defined: nothing to predict.\n";
    }
    text += coverage_table(theory, r, options.seed) +
            strict_and_width(theory.run.heads_of[r], options.seed) + "\n" +
            finding(theory.run.heads_of[r]) + checks(theory, r, options.seed);
    break;  // the others are in theory.json
  }
  return text;
}

}  // namespace toplens
