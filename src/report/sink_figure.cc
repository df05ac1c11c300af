#include <cmath>

#include <fmt/format.h>

#include "report/figure.h"
#include "report/words.h"
#include "statistics/rank_correlation.h"

namespace toplens {
namespace {

constexpr double kSelectedShare = 0.9;

struct Points {
  std::vector<double> similarity, recall;
};

std::string correlation_text(const Points& points, std::uint64_t seed) {
  RankCorrelationOptions options;
  options.seed = seed;
  const RankCorrelation found = spearman(points.similarity, points.recall, options);
  if (!found.value) {
    return fmt::format("not defined over {}", count_text(points.recall.size(), "head"));
  }
  const double nan = std::nan("");
  return fmt::format("{} over {}",
                     interval_text(*found.value, found.interval ? found.interval->low : nan,
                                   found.interval ? found.interval->high : nan),
                     count_text(points.recall.size(), "head"));
}

std::string finding_of(const Points& selected, const Points& all, int set_size,
                       std::uint64_t seed) {
  const Points& points = selected.recall.size() >= 3 ? selected : all;
  RankCorrelationOptions options;
  options.seed = seed;
  const RankCorrelation found = spearman(points.similarity, points.recall, options);
  const std::string where =
      &points == &selected ? " where the sink is selected" : " over all heads";
  if (!found.value || !found.interval) {
    return fmt::format("Recall at N = {} and sink similarity: no correlation can be stated{}",
                       set_size, where);
  }
  const bool rises = found.interval->low > 0, falls = found.interval->high < 0;
  return fmt::format("Recall at N = {} {} sink similarity{} (Spearman's rho {})", set_size,
                     rises   ? "rises with"
                     : falls ? "falls with"
                             : "shows no clear relation to",
                     where, number_text(*found.value));
}

}  // namespace

FigureOrReason sink_figure(const ReportRun& run) {
  if (!run.curves) return std::string("geometry.nc is not there");
  const auto similarity = head_numbers(run.results, "sink_similarity");
  if (!similarity) return why_absent(run.results, "sink_similarity");
  const HeadCurves& curves = *run.curves;
  const std::size_t heads = run.results.num_heads();
  const std::size_t sizes = curves.sizes();
  const auto selected_shares =
      size_numbers(run.results, "sink_selected", curves.ranking, curves.set_sizes);
  const std::vector<double>& recall = curves.metrics[kRecallMetric].measured.mean;
  PageJson layer = PageJson::array(), head = PageJson::array();
  std::vector<double> x, y, shares;
  std::vector<std::string> findings, notes;
  for (std::size_t size = 0; size < sizes; ++size) {
    Points selected, unselected, all;
    for (std::size_t i = 0; i < heads; ++i) {
      const double r = recall[i * sizes + size];
      const double share = selected_shares ? (*selected_shares)[i * sizes + size] : std::nan("");
      const bool is_selected = share >= kSelectedShare;
      shares.push_back(share);
      x.push_back((*similarity)[i]);
      y.push_back(r);
      if (std::isnan(r) || std::isnan((*similarity)[i])) continue;
      Points& group = is_selected ? selected : unselected;
      for (Points* points : {&all, &group}) {
        points->similarity.push_back((*similarity)[i]);
        points->recall.push_back(r);
      }
    }
    findings.push_back(finding_of(selected, all, curves.set_sizes[size], run.results.seed));
    notes.push_back(
        fmt::format("Spearman's rho: sink selected {}; all heads {}.",
                    selected_shares ? correlation_text(selected, run.results.seed) : "not known",
                    correlation_text(all, run.results.seed)));
  }
  for (std::size_t i = 0; i < heads; ++i) {
    layer.push_back(i / run.results.query_heads);
    head.push_back(i % run.results.query_heads);
  }
  Figure figure;
  figure.finding = keyed_texts(PageKey::set_size, findings);
  figure.note = keyed_texts(PageKey::set_size, notes);
  figure.alt = "Scatter plot of all heads: recall at the chosen N against the sink's similarity";
  figure.values = {{"groups", selected_shares
                                  ? PageJson{"in 90% or more of the documents", "in fewer"}
                                  : PageJson{"not known"}}};
  PageTable table(PageKey::set_size, heads);
  table.fixed("layer", layer).fixed("head", head);
  table.column("sink_similarity", std::span<const double>(x))
      .column("recall", std::span<const double>(y));
  table.column("sink_selected_share", std::span<const double>(shares));
  figure.tables.emplace_back("heads", table);
  PageTable selected(PageKey::head, 1);
  selected.values("layer", layer).values("head", head);
  figure.tables.emplace_back("selected", selected);
  return figure;
}

}  // namespace toplens
