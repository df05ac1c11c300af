#include "interchange/budget_export.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <toplens/error.h>

#include "interchange/retrieval_scores.h"
#include "io/atomic_file.h"
#include "io/npy.h"
#include "io/temporary_file.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;

void check(const HeadBudget& budget) {
  const HeadLayout& model = budget.model;
  if (model.layers < 1 || model.kv_heads < 1 || model.query_heads < 1 ||
      model.query_heads % model.kv_heads != 0) {
    throw Error(fmt::format("budget: {} layers of {} query heads and {} KV heads is no model",
                            model.layers, model.query_heads, model.kv_heads));
  }
  const auto heads =
      static_cast<std::size_t>(model.layers) * static_cast<std::size_t>(model.query_heads);
  if (budget.kept_tokens.size() != heads) {
    throw Error(fmt::format("budget: {} heads found, but the model has {} layers of {} query heads",
                            budget.kept_tokens.size(), model.layers, model.query_heads));
  }
  for (std::size_t head = 0; head < heads; ++head) {
    if (budget.kept_tokens[head] < 1 || budget.kept_tokens[head] > budget.context_length) {
      throw Error(fmt::format("budget: layer {}, head {} keeps {} tokens, expected 1 to {}",
                              head / static_cast<std::size_t>(model.query_heads),
                              head % static_cast<std::size_t>(model.query_heads),
                              budget.kept_tokens[head], budget.context_length));
    }
  }
}

fs::path write_npy(const HeadBudget& budget, HeadAggregation aggregation,
                   const fs::path& directory) {
  const HeadScores kept = to_kv_heads(budget_scores(budget), budget.model, aggregation);
  std::vector<std::int32_t> tokens;
  // Up: a cache that holds less than the mean asks for would be another budget.
  for (const double value : kept.values) {
    tokens.push_back(static_cast<std::int32_t>(std::ceil(value)));
  }
  const fs::path path = directory / "kept_tokens.npy";
  remove_abandoned(path);
  write_file_atomically(path, npy_bytes({static_cast<std::uint64_t>(kept.layers),
                                         static_cast<std::uint64_t>(kept.heads)},
                                        tokens));
  return path;
}

}  // namespace

HeadScores budget_scores(const HeadBudget& budget) {
  return {HeadKind::query,
          budget.model.layers,
          budget.model.query_heads,
          {budget.kept_tokens.begin(), budget.kept_tokens.end()}};
}

HeadScores budget_full_attention(const HeadBudget& budget, HeadAggregation aggregation) {
  HeadScores scores = to_kv_heads(budget_scores(budget), budget.model, aggregation);
  for (double& value : scores.values) value /= budget.context_length;
  return scores;
}

MInferencePatterns budget_patterns(const HeadBudget& budget) {
  MInferencePatterns patterns = {budget.model.layers, budget.model.query_heads, {}};
  for (const int kept : budget.kept_tokens) {
    patterns.table.push_back({MInferenceKind::vertical_and_slash, kept - kept / 2, kept / 2, 0.0});
  }
  return patterns;
}

std::vector<fs::path> export_budget(const HeadBudget& budget,
                                    std::span<const HeadFileFormat> formats,
                                    const fs::path& directory, const BudgetExportOptions& options) {
  check(budget);
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) {
    throw Error(fmt::format("{}: cannot be made: {}", directory.string(), error.message()));
  }
  std::vector<fs::path> files;
  const auto write = [&](const char* name, const std::string& text) {
    files.push_back(directory / name);
    remove_abandoned(files.back());
    write_file_atomically(files.back(), text);
  };
  for (const HeadFileFormat format : formats) {
    switch (format) {
      case HeadFileFormat::duo_attention:
        write("full_attention_heads.tsv",
              duo_attention_tsv(budget_full_attention(budget, options.aggregation)));
        write("config.json", duo_attention_config(options.duo_attention));
        break;
      case HeadFileFormat::head_scores:
        write("head_scores.json", retrieval_scores_json(budget_scores(budget)));
        break;
      case HeadFileFormat::minference:
        write("minference.json", minference_json(budget_patterns(budget)));
        break;
      case HeadFileFormat::npy:
        files.push_back(write_npy(budget, options.aggregation, directory));
        break;
    }
  }
  return files;
}

}  // namespace toplens
