#include "report/synthetic_run.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "base/random.h"
#include "io/atomic_file.h"
#include "results/fits_dataset.h"
#include "results/geometry_dataset.h"
#include "results/heads_table.h"
#include "results/netcdf_file.h"
#include "results/profiles_dataset.h"

namespace toplens::testing {
namespace {

nlohmann::ordered_json run_json(const SyntheticRun& run) {
  nlohmann::ordered_json json;
  json["schema_version"] = run.schema_version;
  json["status"] = run.status;
  json["command_line"] = {"toplens", "analyze"};
  json["settings"] = {{"protocol",
                       {{"set_sizes", run.set_sizes},
                        {"rankings", {"attention", "random"}},
                        {"distances", {"euclidean"}},
                        {"queries", "last"},
                        {"seed", 2027}}},
                      {"documents", run.documents}};
  json["model"] = {{"path", run.model_path}, {"num_layers", run.layers}};
  json["text"] = {{"path", "made-up.txt"}, {"context_length", run.tokens}};
  return json;
}

Dataset geometry(const SyntheticRun& run, Random& random) {
  GeometryLabels labels;
  for (std::size_t d = 0; d < run.documents; ++d) {
    labels.documents.push_back("made-up.txt@" + std::to_string(d));
  }
  labels.num_layers = static_cast<int>(run.layers);
  labels.num_heads = static_cast<int>(run.heads);
  labels.rankings = {"attention", "random"};
  labels.distances = {"euclidean"};
  labels.set_sizes = run.set_sizes;
  Dataset dataset = make_geometry_dataset(labels);
  for (const std::string_view metric : kGeometryMetrics) {
    for (float& value : dataset.mutable_values<float>(metric)) {
      value = static_cast<float>(random.uniform());
    }
  }
  return dataset;
}

Dataset heads(const SyntheticRun& run, Random& random) {
  Dataset dataset = make_heads_dataset(run.layers, run.heads);
  dataset.add_coordinate("ranking", std::vector<std::string>{"attention", "random"});
  dataset.add_coordinate("set_size",
                         std::vector<std::int32_t>(run.set_sizes.begin(), run.set_sizes.end()));
  const std::size_t count = run.layers * run.heads;
  const auto numbers = [&](std::size_t size) {
    std::vector<double> values(size);
    for (double& value : values) value = random.uniform();
    return values;
  };
  for (const char* name :
       {"sink_mass", "sink_similarity", "selectivity", "effective_number", "output_ratio",
        "norm_mean", "norm_spread", "sink_norm_ratio", "similarity_constant", "similarity_mae",
        "profile_mae", "profile_r_squared", "effective_rank", "similarity_amplitude"}) {
    dataset.add_variable(name, {"layer", "head"}, numbers(count));
  }
  const std::vector<std::string> regimes = {"retriever", "mixer", "reset", "unclassified",
                                            "undefined"};
  std::vector<std::string> labels, reasons(count);
  for (std::size_t i = 0; i < count; ++i) labels.push_back(regimes[i % regimes.size()]);
  dataset.add_variable("regime_name", {"layer", "head"}, labels);
  for (const char* group : {"norm", "similarity", "profile", "decay"}) {
    dataset.add_variable(std::string(group) + "_reason", {"layer", "head"}, reasons);
  }
  for (const char* name : {"critical_size", "predicted_half_size", "measured_half_size",
                           "coverage_f_score", "centre_error_f_score"}) {
    dataset.add_variable(name, {"layer", "head", "ranking"}, numbers(2 * count));
  }
  for (const char* form : {"lower_", "predicted_", "upper_"}) {
    for (const char* metric : {"precision", "recall", "f_score"}) {
      dataset.add_variable(std::string(form) + metric, {"layer", "head", "ranking", "set_size"},
                           numbers(2 * count * run.set_sizes.size()));
    }
  }
  dataset.add_variable("sink_selected", {"layer", "head", "ranking", "set_size"},
                       numbers(2 * count * run.set_sizes.size()));
  return dataset;
}

/// As ProfilesBuilder makes it, with drawn values.
Dataset profiles(const SyntheticRun& run, Random& random) {
  RecordedShape shape;
  shape.documents = run.documents;
  shape.layers = 1;
  shape.heads = run.heads;
  shape.kv_heads = run.kv_heads;
  shape.head_dim = 8;
  shape.layout.length = run.tokens;
  shape.layout.rankings = {Ranking::attention};
  shape.layout.set_sizes = {1};
  ShownDocument document{"made-up.txt@0", run.token_texts};
  document.tokens.resize(run.tokens, " word");
  ProfilesBuilder builder(run.layers, document);
  AssumptionRecords records = make_assumption_records(shape);
  HeadFit fit;
  fit.values.similarity.similarity.constant = 0.1;
  fit.profile.profile.emplace();
  fit.profile.profile->length = static_cast<int>(run.tokens);
  fit.profile.profile->oscillation_start = static_cast<int>(run.tokens);
  fit.profile.profile->recency_start = static_cast<int>(run.tokens);
  fit.profile.profile->plateau_log_weight = -1.0;
  const std::vector<HeadFit> fits(run.heads, fit);
  for (std::size_t layer = 0; layer < run.layers; ++layer) {
    for (std::vector<float>* values :
         {&records.weights, &records.value_norms, &records.lag_cosines}) {
      for (float& value : *values) value = static_cast<float>(random.uniform());
    }
    builder.add_layer(view_of(records), fits);
  }
  return builder.dataset();
}

}  // namespace

void SyntheticRun::write(const std::filesystem::path& directory) const {
  std::filesystem::create_directories(directory);
  Random random(11);
  write_file_atomically(
      directory / "run.json",
      run_json(*this).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  const Dataset measured = geometry(*this, random);
  if (with_geometry) {
    write_netcdf(directory / "geometry.nc", measured);
    HeadTable table(static_cast<int>(layers), static_cast<int>(heads));
    add_head_columns(table, static_cast<int>(kv_heads), documents);
    ThreadPool pool(1);
    add_geometry_columns(table, GeometryView(measured), {}, pool);
    write_file_atomically(directory / "heads.csv", table.to_csv());
  }
  if (with_heads) write_netcdf(directory / "heads.nc", toplens::testing::heads(*this, random));
  if (with_profiles) write_netcdf(directory / "profiles.nc", profiles(*this, random));
}

}  // namespace toplens::testing
