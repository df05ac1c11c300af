#include "cli/measures_options.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>
#include <toplens/error.h>
#include <nlohmann/json.hpp>

#include "cli/usage_error.h"
#include "interchange/head_files.h"
#include "io/atomic_file.h"
#include "io/json_text.h"

namespace toplens {
namespace {

void set_from_file(const std::string& path, RegimeThresholds& thresholds) {
  const nlohmann::ordered_json json = parse_json(read_text_file(path, kLargestJsonFile), path);
  if (!json.is_object()) {
    throw Error(fmt::format("{}: expected a JSON object of regime thresholds, NAME: VALUE", path));
  }
  for (const auto& [name, value] : json.items()) {
    if (!value.is_number()) {
      throw Error(fmt::format("{}: regime threshold '{}' is no number", path, name));
    }
    try {
      thresholds.set(name, value.get<double>());
    } catch (const Error& error) {
      throw Error(fmt::format("{}: {}", path, error.what()));
    }
  }
}

void set_from_text(const std::string& text, RegimeThresholds& thresholds) {
  const std::size_t equals = text.find('=');
  double value = 0.0;
  if (equals == std::string::npos || !CLI::detail::lexical_cast(text.substr(equals + 1), value)) {
    throw Error(fmt::format("--regime-threshold '{}': expected NAME=NUMBER", text));
  }
  thresholds.set(text.substr(0, equals), value);
}

}  // namespace

void MeasuresArguments::add_to(CLI::App& command) {
  const auto group = [](CLI::Option* option) { return option->group("Regimes and measures"); };
  group(command
            .add_option("--measures", measures,
                        "Record signature, regime and the measures of others for every head "
                        "(heads.csv, heads.nc, regimes.json)")
            ->check(CLI::IsMember({"on", "off"}))
            ->capture_default_str());
  group(command
            .add_option("--context-lengths", context_lengths,
                        "Measure also the last so many tokens of every document, as in "
                        "256,512,1024: how stable labels are across length")
            ->delimiter(',')
            ->allow_extra_args(false)
            ->check(CLI::Range(2, 1 << 30))
            ->type_name("LIST"));
  group(command
            .add_option("--regime-thresholds", thresholds_file,
                        "JSON file with thresholds of the regimes, {\"sink_mass\": 0.5, ...}")
            ->type_name("FILE"));
  std::string help = "One threshold, given again for more: ";
  for (const RegimeThresholdRow& row : kRegimeThresholds) {
    help += fmt::format("{}{} {:g} ({})", &row == kRegimeThresholds.data() ? "" : "; ", row.name,
                        RegimeThresholds().*row.value, row.meaning);
  }
  group(command.add_option("--regime-threshold", thresholds, help)
            ->allow_extra_args(false)
            ->type_name("NAME=VALUE"));
  group(
      command
          .add_option("--compare-with", compare_with,
                      "Scores of heads from another project: retrieval scores as JSON "
                      "({\"layer-head\": [scores]}), DuoAttention's directory or TSV, MInference's "
                      "JSON, or .npy; adds a column and its rank correlation with every measure; "
                      "given again for more")
          ->allow_extra_args(false)
          ->type_name("FILE"));
  group(command
            .add_option("--detector-sequences", detector_sequences,
                        "Sequences of repeated random tokens for the detector scores, one beside "
                        "each of the first documents; 0: none")
            ->check(CLI::Range(0, 100000))
            ->type_name("K")
            ->capture_default_str());
  group(command
            .add_option("--detector-tokens", detector_tokens,
                        "Random tokens of a sequence, which has them twice")
            ->check(CLI::Range(1, 1 << 20))
            ->type_name("T")
            ->capture_default_str());
}

RegimeThresholds MeasuresArguments::regime_thresholds() const {
  RegimeThresholds result;
  if (!thresholds_file.empty()) set_from_file(directory / thresholds_file, result);
  from_command_line([&] {
    for (const std::string& text : thresholds) set_from_text(text, result);
  });
  return result;
}

std::vector<ImportedScores> MeasuresArguments::imported_scores(const ModelConfig& config) const {
  const HeadLayout layout{config.num_layers, config.num_query_heads, config.num_kv_heads};
  std::vector<ImportedScores> imported;
  for (const std::string& file : compare_with) {
    imported.push_back({file, read_head_file(directory / file, layout), layout});
  }
  return imported;
}

int MeasuresArguments::longest() const {
  return context_lengths.empty()
             ? 0
             : *std::max_element(context_lengths.begin(), context_lengths.end());
}

std::vector<int> MeasuresArguments::lengths(int context_length) const {
  if (longest() > context_length) {
    throw UsageError(fmt::format("--context-lengths has {}, more than the documents' {} tokens",
                                 longest(), context_length));
  }
  std::vector<int> result = context_lengths;
  result.push_back(context_length);
  std::sort(result.begin(), result.end(), std::greater<>());
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

}  // namespace toplens
