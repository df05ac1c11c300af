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

std::string number(double value) { return std::isnan(value) ? "-" : fmt::format("{:.3f}", value); }

/// Reasons by how often they are met: "12 decay within one lag, 3 no decay".
std::string list_reasons(const std::map<std::string, std::size_t>& reasons) {
  std::vector<std::pair<std::size_t, std::string>> sorted;
  for (const auto& [reason, count] : reasons) sorted.emplace_back(count, reason);
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  std::vector<std::string> texts;
  for (const auto& [count, reason] : sorted) texts.push_back(fmt::format("{} {}", count, reason));
  return fmt::format("{}", fmt::join(texts, "; "));
}

std::string assumption_lines(const AssumptionCounts& c) {
  std::string text = "Assumptions, fitted by head\n";
  text += fmt::format(
      "  A1 stable norms     sd {} of the mean (median of {} heads); sink {} of the mean, "
      "compressed in {} of {} heads\n",
      number(c.norm_spread), c.norms_estimated, number(c.sink_norm_ratio), c.sinks_compressed,
      c.sinks_estimated);
  text += fmt::format(
      "  A2 similarity       decays in {} of {} heads (median length {} tokens), mean cosine {}, "
      "with the sink {}\n",
      c.decay_present, c.similarity_estimated, number(c.decay_length), number(c.mean_cosine),
      number(c.sink_similarity));
  if (!c.decay_reasons.empty()) {
    text += fmt::format("                      elsewhere: {}\n", list_reasons(c.decay_reasons));
  }
  if (c.similarity_not_applicable > 0) {
    text += fmt::format(
        "                      not applicable in {} heads: over 5% of the unselected have a "
        "near-duplicate among the selected\n",
        c.similarity_not_applicable);
  }
  text += fmt::format(
      "  A3 profile          recency in {} of {} heads, oscillation in {}; R^2 {} (median)\n",
      c.recency_present, c.profile_estimated, c.oscillation_present, number(c.profile_r_squared));
  return text;
}

/// One row of the coverage table: the three metrics of some cells.
template <typename Cells>
std::string coverage_row(std::string_view label, const Cells& cells) {
  std::string row = fmt::format(kRow, label);
  CoverageSummary last;
  for (const auto& [metric, metric_name] : kMetricNames) {
    last = summarize_coverage(cells(metric));
    if (last.cells == 0) return "";
    row += fmt::format("   {:>6.3f} {:>6.3f} {:>6.3f}", last.coverage.mean, last.centre_error.mean,
                       last.baseline_error.mean);
  }
  return row + fmt::format("   {:>6.3f} {:>6.3f}\n", last.strict_coverage.mean, last.width.mean);
}

std::string coverage_table(const PooledTheory& theory, std::size_t ranking) {
  const std::vector<HeadTheory>& heads = theory.run.heads_of[ranking];
  std::string text = fmt::format(kRow, "");
  for (const std::string_view title : {"precision", "recall", "F-score"}) {
    text += fmt::format("   {:^20}", title);
  }
  text += fmt::format("   {:^13}\n", "F-score");
  text += fmt::format(kRow, "");
  for (int i = 0; i < 3; ++i) text += fmt::format("   {:>6} {:>6} {:>6}", "cover", "error", "base");
  text += fmt::format("   {:>6} {:>6}\n", "strict", "width");
  text += coverage_row("all, N >= 2", [&](Metric m) { return coverage_cells(heads, m); });
  for (const LayerRange& range : layer_thirds(theory.run.layers)) {
    const auto part = std::span(heads).subspan(range.first * theory.run.heads,
                                               (range.end - range.first) * theory.run.heads);
    const std::string label = range.end - range.first > 1
                                  ? fmt::format("layers {}-{}", range.first, range.end - 1)
                                  : fmt::format("layer {}", range.first);
    text += coverage_row(label, [&](Metric m) { return coverage_cells(part, m); });
  }
  for (const int size : theory.shape.layout.set_sizes) {
    if (size < 2) continue;
    text += coverage_row(fmt::format("N = {}", size),
                         [&](Metric m) { return coverage_cells(heads, m, size); });
  }
  return text;
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
  if (!sinks.empty()) text += "Sink similarity with recall, Spearman over heads\n";
  for (const SinkCorrelations& row : sinks) {
    text += fmt::format("  N = {:<5}", row.set_size);
    text += fmt::format("sink selected ({} heads) {}, sink mass taken out {};",
                        row.selected.observations, show(row.selected), show(row.selected_partial));
    text += fmt::format(" not selected ({}) {}; all ({}) {}\n", row.unselected.observations,
                        show(row.unselected), row.all.observations, show(row.all));
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
  if (!correlation.value) return "not defined";
  if (!correlation.interval) return fmt::format("{:.3f}", *correlation.value);
  return fmt::format("{:.3f} [{:.3f}, {:.3f}]", *correlation.value, correlation.interval->low,
                     correlation.interval->high);
}

std::string theory_summary(const PooledTheory& theory, const RunTheoryOptions& options) {
  const AssumptionCounts counts = count_assumptions(theory.run.fits);
  if (counts.norms_estimated == 0) {
    return fmt::format("Theory: nothing could be fitted in any of {} heads: {}\n", counts.heads,
                       list_reasons(counts.norm_reasons));
  }
  std::string text = assumption_lines(counts);
  for (std::size_t r = 0; r < theory.run.rankings.size(); ++r) {
    if (!has_prediction(theory.run.rankings[r])) continue;
    text += fmt::format(
        "\nPrediction beside measurement: {} ranking, final query, {} weights, {} residuals\n"
        "(cover: the envelope meets measured mean +- tolerance; error: |predicted - measured|; "
        "base: of the mean over heads)\n\n",
        name(theory.run.rankings[r]), name_in(kWeightSourceNames, options.head.weights),
        name_in(kResidualSourceNames, options.residuals));
    text += coverage_table(theory, r) + "\n" + checks(theory, r, options.seed);
    break;  // the others are in theory.json
  }
  return text;
}

}  // namespace toplens
