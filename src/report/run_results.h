#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "results/dataset.h"

namespace toplens {

/// What a run directory holds for its report. Only run.json must be there: a run without the theory
/// or without interventions, of an older version or unfinished, lacks the others.
struct RunResults {  // NOLINT(bugprone-exception-escape): moves of nlohmann::json do not throw
  std::filesystem::path directory;
  nlohmann::ordered_json run;
  std::optional<Dataset> geometry, heads, profiles;
  std::optional<Dataset> interventions;
  std::optional<nlohmann::json> theory, budget;

  std::string name() const;
  std::size_t layers = 0, query_heads = 0, documents = 0;
  std::uint64_t seed = 0;
  std::size_t num_heads() const { return layers * query_heads; }
  /// "2.3": layer and head of the index layer * query_heads + head.
  std::string head_name(std::size_t index) const;
};

/// Reads what is there. Throws Error where the directory is no run, is of a newer version, holds no
/// result at all, or a file is damaged or disagrees with the others, naming it.
RunResults read_run_results(const std::filesystem::path& directory);

/// Figures of heads.nc by layer and head as numbers, layer-major: of a floating-point or integer
/// variable. Of one that is by ranking too, those of shown_ranking(). Nothing where the file or
/// variable is absent or of other dimensions.
std::optional<std::vector<double>> head_numbers(const RunResults& results,
                                                std::string_view variable);
/// The same for texts.
std::optional<std::vector<std::string>> head_texts(const RunResults& results,
                                                   std::string_view variable);
/// The ranking that heads.nc is read by: attention, or the first where it lacks that.
std::string shown_ranking(const RunResults& results);
/// Regimes of theory.md 8 in their order.
std::span<const std::string_view> regime_names();
/// The heads' regimes, by these names.
std::optional<std::vector<std::string>> head_regimes(const RunResults& results);

/// Figures of heads.nc by layer, head, ranking and set size: one ranking, at `set_sizes` (NaN where
/// the file lacks a size), [head, size].
std::optional<std::vector<double>> size_numbers(const RunResults& results,
                                                std::string_view variable, std::string_view ranking,
                                                std::span<const int> set_sizes);
/// Why a variable of heads.nc is not there, in words.
std::string why_absent(const RunResults& results, std::string_view variable);

}  // namespace toplens
