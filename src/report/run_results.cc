#include "report/run_results.h"

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>

#include <fmt/format.h>
#include <toplens/error.h>

#include "io/atomic_file.h"
#include "io/json_text.h"
#include "results/netcdf_file.h"
#include "results/run_directory.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;

std::optional<Dataset> read_if_there(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  return read_netcdf(path);
}

std::optional<nlohmann::json> read_json_if_there(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  return parse_json(read_text_file(path), path.string());
}

// More than any model has, and a bound on what a page repeats for every head.
constexpr std::size_t kMostHeads = std::size_t{1} << 20;

void expect_shape(const RunResults& results, const Dataset& dataset, const char* file) {
  const auto expect = [&](std::string_view dimension, std::size_t expected) {
    const std::size_t found = dataset.dimension_size(dimension);
    if (found != expected) {
      throw Error(fmt::format("{}: dimension '{}' is {}, expected {} as in the run's other results",
                              (results.directory / file).string(), dimension, found, expected));
    }
  };
  expect("layer", results.layers);
  expect("head", results.query_heads);
}

void expect_profiles(const RunResults& results) {
  expect_shape(results, *results.profiles, "profiles.nc");
  const std::size_t kv_heads = results.profiles->dimension_size("kv_head");
  if (results.query_heads % kv_heads != 0) {
    throw Error(fmt::format("{}: {} key-value heads, expected a divisor of the {} query heads",
                            (results.directory / "profiles.nc").string(), kv_heads,
                            results.query_heads));
  }
}

const LabelledArray* find(const std::optional<Dataset>& dataset, std::string_view name) {
  if (!dataset || !dataset->has_variable(name)) return nullptr;
  return &dataset->variable(name);
}

std::optional<std::vector<double>> as_numbers(const ArrayValues& values) {
  return std::visit(
      [](const auto& array) -> std::optional<std::vector<double>> {
        using T = typename std::decay_t<decltype(array)>::value_type;
        if constexpr (std::is_same_v<T, std::string>) {
          return std::nullopt;
        } else {
          return std::vector<double>(array.begin(), array.end());
        }
      },
      values);
}

/// Of an array by layer and head, or by ranking too.
template <typename T>
std::optional<std::vector<T>> by_head(const RunResults& results, const LabelledArray& array,
                                      const std::vector<T>& values) {
  if (array.dimensions == std::vector<std::string>{"layer", "head"}) return values;
  if (array.dimensions != std::vector<std::string>{"layer", "head", "ranking"}) return std::nullopt;
  const auto rankings = results.heads->labels<std::string>("ranking");
  const auto found = std::find(rankings.begin(), rankings.end(), shown_ranking(results));
  if (found == rankings.end()) return std::nullopt;
  std::vector<T> picked;
  for (auto at = static_cast<std::size_t>(found - rankings.begin()); at < values.size();
       at += rankings.size()) {
    picked.push_back(values[at]);
  }
  return picked;
}

}  // namespace

std::string RunResults::name() const {
  const fs::path path = fs::absolute(directory).lexically_normal();
  return (path.has_filename() ? path.filename() : path.parent_path().filename()).string();
}

std::string RunResults::head_name(std::size_t index) const {
  return fmt::format("{}.{}", index / query_heads, index % query_heads);
}

RunResults read_run_results(const fs::path& directory) {
  std::error_code ignored;
  if (!fs::exists(directory / "run.json", ignored)) {
    throw Error(fmt::format("{}: is no run directory of toplens: {}", directory.string(),
                            fs::is_directory(directory, ignored) ? "it holds no run.json"
                            : fs::exists(directory, ignored)     ? "it is a file"
                                                                 : "it does not exist"));
  }
  RunResults results;
  results.directory = directory;
  results.run = read_run_json(directory);
  results.geometry = read_if_there(directory / "geometry.nc");
  results.heads = read_if_there(directory / "heads.nc");
  results.profiles = read_if_there(directory / "profiles.nc");
  results.interventions = read_if_there(directory / "interventions.nc");
  results.theory = read_json_if_there(directory / "theory.json");
  results.budget = read_json_if_there(directory / "budget.json");
  const Dataset* first = results.geometry   ? &*results.geometry
                         : results.heads    ? &*results.heads
                         : results.profiles ? &*results.profiles
                                            : nullptr;
  if (first == nullptr) {
    throw Error(fmt::format(
        "{}: the run holds no results yet (neither geometry.nc nor heads.nc nor profiles.nc): {}",
        directory.string(),
        results.run["status"] == "complete" ? "they were removed; run analyze again"
                                            : "it was interrupted; finish it with --resume"));
  }
  results.layers = first->dimension_size("layer");
  results.query_heads = first->dimension_size("head");
  if (results.layers > kMostHeads || results.query_heads > kMostHeads / results.layers) {
    throw Error(fmt::format("{}: {} layers of {} heads, expected at most {} heads",
                            directory.string(), results.layers, results.query_heads, kMostHeads));
  }
  if (results.heads) expect_shape(results, *results.heads, "heads.nc");
  if (results.profiles) expect_profiles(results);
  results.documents = results.geometry ? results.geometry->dimension_size("document")
                      : results.run["settings"].contains("documents")
                          ? static_cast<std::size_t>(recorded_documents(results.run))
                          : 0;
  results.seed = recorded_seed(results.run);
  return results;
}

std::optional<std::vector<double>> head_numbers(const RunResults& results,
                                                std::string_view variable) {
  const LabelledArray* array = find(results.heads, variable);
  if (array == nullptr) return std::nullopt;
  const auto values = as_numbers(array->values);
  return values ? by_head(results, *array, *values) : std::nullopt;
}

std::optional<std::vector<std::string>> head_texts(const RunResults& results,
                                                   std::string_view variable) {
  const LabelledArray* array = find(results.heads, variable);
  if (array == nullptr) return std::nullopt;
  const auto* texts = std::get_if<std::vector<std::string>>(&array->values);
  return texts != nullptr ? by_head(results, *array, *texts) : std::nullopt;
}

std::string shown_ranking(const RunResults& results) {
  if (!results.heads || !results.heads->has_dimension("ranking")) return "attention";
  const auto rankings = results.heads->labels<std::string>("ranking");
  const bool has_attention =
      std::find(rankings.begin(), rankings.end(), "attention") != rankings.end();
  return has_attention || rankings.empty() ? "attention" : rankings.front();
}

std::span<const std::string_view> regime_names() {
  static constexpr std::array<std::string_view, 5> kNames = {"Retriever", "Mixer", "Reset",
                                                             "Unclassified", "Undefined"};
  return kNames;
}

std::optional<std::vector<std::string>> head_regimes(const RunResults& results) {
  std::optional<std::vector<std::string>> names = head_texts(results, "regime_name");
  if (!names) return std::nullopt;
  for (std::string& name : *names) {
    const auto known =
        std::find_if(regime_names().begin(), regime_names().end(), [&](std::string_view regime) {
          return regime.substr(1) ==
                 std::string_view(name).substr(std::min<std::size_t>(1, name.size()));
        });
    name = known == regime_names().end() ? "Undefined" : std::string(*known);
  }
  return names;
}

std::optional<std::vector<double>> size_numbers(const RunResults& results,
                                                std::string_view variable, std::string_view ranking,
                                                std::span<const int> set_sizes) {
  const LabelledArray* array = find(results.heads, variable);
  if (array == nullptr ||
      array->dimensions != std::vector<std::string>{"layer", "head", "ranking", "set_size"}) {
    return std::nullopt;
  }
  const std::optional<std::vector<double>> values = as_numbers(array->values);
  const auto rankings = results.heads->labels<std::string>("ranking");
  const auto sizes = results.heads->labels<std::int32_t>("set_size");
  const auto found = std::find(rankings.begin(), rankings.end(), ranking);
  if (!values || found == rankings.end()) return std::nullopt;
  const auto r = static_cast<std::size_t>(found - rankings.begin());
  std::vector<double> picked;
  for (std::size_t head = 0; head < results.num_heads(); ++head) {
    for (const int wanted : set_sizes) {
      const auto at = std::find(sizes.begin(), sizes.end(), wanted);
      picked.push_back(at == sizes.end() ? std::numeric_limits<double>::quiet_NaN()
                                         : (*values)[(head * rankings.size() + r) * sizes.size() +
                                                     static_cast<std::size_t>(at - sizes.begin())]);
    }
  }
  return picked;
}

std::string why_absent(const RunResults& results, std::string_view variable) {
  if (!results.heads) {
    return "heads.nc is not there: analyze writes it with --theory on";
  }
  return fmt::format("heads.nc has no {}: the run was made by an older toplens or without it",
                     variable);
}

}  // namespace toplens
