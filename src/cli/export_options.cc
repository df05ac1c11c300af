#include "cli/export_options.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "cli/usage_error.h"
#include "results/run_directory.h"

namespace toplens {

void ExportArguments::add_to(CLI::App& command) {
  command
      .add_option("--export", formats,
                  "Head files for engines, into the directory of --out: duo-attention "
                  "(full_attention_heads.tsv, config.json), head-scores (HeadKV), minference, npy "
                  "([layers, kv_heads])")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST");
  command
      .add_option("--sink-size", duo_attention.sink_size,
                  "Of duo-attention: first tokens that a streaming head keeps")
      ->check(CLI::Range(0, 1 << 30))
      ->type_name("N")
      ->capture_default_str();
  command
      .add_option("--recent-size", duo_attention.recent_size,
                  "Of duo-attention: most recent tokens that a streaming head keeps")
      ->check(CLI::Range(0, 1 << 30))
      ->type_name("N")
      ->capture_default_str();
}

std::vector<HeadFileFormat> ExportArguments::parse() const {
  std::vector<HeadFileFormat> parsed;
  for (const std::string& text : formats) {
    const HeadFileFormat format = from_command_line([&] { return parse_head_file_format(text); });
    if (std::find(parsed.begin(), parsed.end(), format) != parsed.end()) {
      throw UsageError(fmt::format("--export: '{}' is given twice", text));
    }
    parsed.push_back(format);
  }
  return parsed;
}

std::string ExportArguments::write(const HeadBudget& budget, const std::filesystem::path& directory,
                                   HeadAggregation aggregation) const {
  BudgetExportOptions options;
  options.duo_attention = duo_attention;
  options.aggregation = aggregation;
  std::string text;
  for (const HeadFileFormat format : parse()) {
    const std::array<HeadFileFormat, 1> one = {format};
    std::string files;
    for (const std::filesystem::path& file : export_budget(budget, one, directory, options)) {
      files += (files.empty() ? "" : ", ") + file.string();
      RunDirectory::record_later_results(directory, {file.lexically_relative(directory).string()});
    }
    text += fmt::format("{}: {}\n", name(format), files);
  }
  return text;
}

}  // namespace toplens
