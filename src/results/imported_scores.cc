#include "results/imported_scores.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "interchange/score_comparison.h"
#include "results/measures_dataset.h"

namespace toplens {
namespace {

constexpr std::size_t kMostNamed = 5;

std::string column_name(std::size_t index) {
  return index == 0 ? "imported_score" : fmt::format("imported_score_{}", index + 1);
}

std::string_view kind_name(HeadKind kind) {
  return kind == HeadKind::query ? "query heads" : "kv heads";
}

}  // namespace

ImportedComparison compare_imported(const ImportedScores& imported,
                                    const std::vector<HeadSummary>& heads,
                                    const RankCorrelationOptions& options) {
  ImportedComparison comparison;
  comparison.file = imported.file;
  comparison.kind = imported.scores.kind;
  comparison.by_head = to_query_heads(imported.scores, imported.model).values;
  for (const NamedMeans& measure : measure_means(heads)) {
    comparison.correlations.push_back(
        {measure.name,
         compare_scores(imported.scores, imported.model, measure.values, options).correlation});
  }
  return comparison;
}

void add_imported_scores(Dataset& dataset, HeadTable& table,
                         const std::vector<ImportedComparison>& comparisons) {
  for (std::size_t i = 0; i < comparisons.size(); ++i) {
    const ImportedComparison& comparison = comparisons[i];
    Attributes attributes = describe("1", "score of the head in another project's file");
    attributes["file"] = comparison.file.string();
    attributes["heads"] = std::string(kind_name(comparison.kind));
    dataset.add_variable(column_name(i), {"layer", "head"}, comparison.by_head,
                         std::move(attributes));
    table.add_column(column_name(i), comparison.by_head);
  }
}

nlohmann::ordered_json imported_json(const std::vector<ImportedComparison>& comparisons) {
  using Json = nlohmann::ordered_json;
  Json array = Json::array();
  for (std::size_t i = 0; i < comparisons.size(); ++i) {
    Json correlations = Json::array();
    for (const ScoreCorrelation& row : comparisons[i].correlations) {
      const RankCorrelation& rank = row.correlation;
      correlations.push_back({{"measure", row.measure},
                              {"heads", rank.observations},
                              {"spearman", rank.value ? Json(*rank.value) : Json(nullptr)},
                              {"low", rank.interval ? Json(rank.interval->low) : Json(nullptr)},
                              {"high", rank.interval ? Json(rank.interval->high) : Json(nullptr)}});
    }
    array.push_back({{"file", comparisons[i].file.string()},
                     {"column", column_name(i)},
                     {"heads", kind_name(comparisons[i].kind)},
                     {"correlations", std::move(correlations)}});
  }
  return array;
}

std::string imported_text(const std::vector<ImportedComparison>& comparisons) {
  std::string text;
  for (const ImportedComparison& comparison : comparisons) {
    std::vector<const ScoreCorrelation*> rows;
    for (const ScoreCorrelation& row : comparison.correlations) {
      if (row.correlation.value) rows.push_back(&row);
    }
    std::stable_sort(rows.begin(), rows.end(), [](const auto* a, const auto* b) {
      return std::abs(*a->correlation.value) > std::abs(*b->correlation.value);
    });
    text += fmt::format("\nScores of {} ({}): strongest rank correlations with the measures\n\n",
                        comparison.file.string(), kind_name(comparison.kind));
    if (rows.empty()) text += "  none is defined: all scores or all measures are equal\n";
    for (std::size_t i = 0; i < std::min(rows.size(), kMostNamed); ++i) {
      const RankCorrelation& rank = rows[i]->correlation;
      text += fmt::format(
          "  {:<26}{:>7.2f}   {}\n", rows[i]->measure, *rank.value,
          rank.interval ? fmt::format("[{:.2f}, {:.2f}]", rank.interval->low, rank.interval->high)
                        : "no interval");
    }
  }
  return text;
}

}  // namespace toplens
