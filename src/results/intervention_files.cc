#include "results/intervention_files.h"

#include <fmt/format.h>
#include <toplens/error.h>

#include "io/atomic_file.h"
#include "io/json_text.h"
#include "io/system_error.h"
#include "io/temporary_file.h"
#include "results/build_info.h"
#include "results/netcdf_file.h"
#include "results/run_directory.h"
#include "results/run_manifest.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kSchemaVersion = 1;
constexpr const char* kJson = "interventions.json";
constexpr const char* kNetcdf = "interventions.nc";
constexpr const char* kCsv = "interventions.csv";
constexpr const char* kNeededCsv = "needed_sizes.csv";

/// A run of analyze in the same directory must be of the same model.
void check_run(const fs::path& directory, const Json& settings) {
  if (!fs::exists(directory / "run.json")) return;
  const Json run = read_run_json(directory);
  if (!run["settings"].contains("model") || !run["settings"]["model"].is_object()) return;
  // A run over token ids read no tokenizer.
  Json there = run["settings"]["model"], here = settings.at("model");
  for (Json* model : {&there, &here}) model->erase("tokenizer_sha256");
  const std::string difference = first_difference(there, here);
  if (difference.empty()) return;
  throw Error(fmt::format("{}: holds a run of another model: {}; choose another --out",
                          directory.string(), difference));
}

void check_resumable(const fs::path& directory, const Json& settings) {
  const fs::path path = directory / kJson;
  const Json there = parse_json(read_text_file(path), path.string());
  if (!there.is_object() || !there.contains("settings") || !there["settings"].is_object()) {
    throw Error(fmt::format("{}: holds no settings of a run of intervene", path.string()));
  }
  const std::string difference = first_difference(there["settings"], settings);
  if (difference.empty()) return;
  throw Error(
      fmt::format("{}: cannot go on with another run: settings differ in {}; choose another "
                  "--out",
                  path.string(), difference));
}

}  // namespace

std::vector<StoredEvaluation> read_evaluations(const fs::path& directory, const Json& settings,
                                               int context_length) {
  check_resumable(directory, settings);
  const fs::path path = directory / kNetcdf;
  const Dataset dataset = read_netcdf(path);
  const std::vector<std::string> by_evaluation = {"evaluation"};
  const auto rankings = dataset.values<std::string>("ranking", by_evaluation);
  const auto rules = dataset.values<std::string>("rule", by_evaluation);
  const auto scopes = dataset.values<std::string>("scope", by_evaluation);
  const auto sizes = dataset.values<std::int32_t>("set_size", by_evaluation);
  const auto lengths = dataset.values<std::int32_t>("context_length", by_evaluation);
  const auto rows = dataset.values<std::int64_t>("rows_without_mass", by_evaluation);
  const auto nll = dataset.values<double>("nll_nats_per_token", {"evaluation", "document"});
  const std::size_t documents = dataset.dimension_size("document");
  std::vector<StoredEvaluation> evaluations;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (lengths[i] != context_length) continue;
    const std::span<const double> losses = nll.subspan(i * documents, documents);
    StoredEvaluation evaluation;
    evaluation.losses.assign(losses.begin(), losses.end());
    if (!rankings[i].empty()) {
      if (sizes[i] < 1 || rows[i] < 0) {
        throw Error(fmt::format("{}: evaluation {} keeps {} tokens with {} rows without mass",
                                path.string(), i, sizes[i], rows[i]));
      }
      evaluation.treatment = SizedIntervention{
          {parse_ranking(rankings[i]), parse_removal_rule(rules[i]), parse_scope(scopes[i])},
          sizes[i]};
      evaluation.rows_without_mass = static_cast<std::uint64_t>(rows[i]);
    }
    evaluations.push_back(std::move(evaluation));
  }
  return evaluations;
}

void restore_evaluations(const fs::path& directory, const Json& settings, int context_length,
                         Experiment& experiment) {
  for (const StoredEvaluation& one : read_evaluations(directory, settings, context_length)) {
    if (one.treatment) {
      experiment.restore(*one.treatment, one.losses, one.rows_without_mass);
    } else {
      experiment.restore_untreated(one.losses);
    }
  }
}

InterventionFiles::InterventionFiles(const fs::path& directory, Json settings,
                                     std::vector<std::string> command_line, bool resume)
    : directory_(directory),
      settings_(std::move(settings)),
      command_line_(std::move(command_line)),
      started_(utc_now()) {
  std::error_code error;
  if (!fs::exists(directory, error)) {
    if (resume) {
      throw Error(
          fmt::format("{}: nothing to resume: no such directory; leave --resume out to start",
                      directory.string()));
    }
    fs::create_directories(directory, error);
    made_directory_ = !error;
  }
  if (!error && !fs::is_directory(directory, error)) {
    error.assign(ENOTDIR, std::generic_category());
  }
  if (error) throw_system_error(directory, "cannot make the output directory", error.value());
  check_run(directory, settings_);
  if (resume && fs::exists(directory / kJson)) {
    check_resumable(directory, settings_);
    resumed_ = fs::exists(directory / kNetcdf);
  } else {
    for (const char* file : {kJson, kNetcdf, kCsv, kNeededCsv}) {
      if (!fs::exists(directory / file)) continue;
      throw Error(fmt::format(
          "{}: holds {} already; go on with that run by --resume, or choose another --out",
          directory.string(), file));
    }
  }
  for (const char* file : {kJson, kNetcdf, kCsv, kNeededCsv}) remove_abandoned(directory / file);
  write_status("running");
}

void InterventionFiles::write_status(std::string_view status) {
  const BuildInfo build = build_info();
  Json json;
  json["schema_version"] = kSchemaVersion;
  json["status"] = status;
  json["command_line"] = command_line_;
  json["started"] = started_;
  json["toplens"] = {{"version", build.version}, {"git_commit", build.git_commit}};
  json["settings"] = settings_;
  write_file_atomically(directory_ / kJson,
                        json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void InterventionFiles::restore(int context_length, Experiment& experiment) const {
  if (resumed_) restore_evaluations(directory_, settings_, context_length, experiment);
}

void InterventionFiles::save(const InterventionResults& results) {
  write_netcdf(directory_ / kNetcdf, make_interventions_dataset(results));
  saved_ = true;
}

void InterventionFiles::finish(const InterventionResults& results) {
  save(results);
  write_file_atomically(directory_ / kCsv, interventions_csv(results));
  if (!results.needed_sizes.empty()) {
    write_file_atomically(directory_ / kNeededCsv, needed_sizes_csv(results));
  }
  write_status("complete");
  RunDirectory::record_later_results(directory_, {kJson, kNetcdf, kCsv, kNeededCsv});
}

void InterventionFiles::discard_unstarted() {
  if (keeps_evaluations()) return;
  std::error_code ignored;
  fs::remove(directory_ / kJson, ignored);
  if (made_directory_) fs::remove(directory_, ignored);
}

}  // namespace toplens
