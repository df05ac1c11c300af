// Regimes and measures as a user meets them: options of analyze, and compare.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "measures/regime.h"
#include "model/model_config.h"
#include "results/netcdf_file.h"
#include "support/command.h"
#include "support/engine_run.h"
#include "support/safetensors_writer.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::run_command;
using testing::ScratchDirectory;

std::string golden(const std::string& name) { return testing::golden_directory() / name; }

/// Random documents, or the last `tail` tokens of each of them.
void write_documents(const fs::path& path, std::size_t documents, std::size_t length,
                     std::size_t tail = 0) {
  if (tail == 0) tail = length;
  std::vector<std::int32_t> all;
  for (const testing::TokenIds& ids :
       testing::random_documents(std::vector<std::size_t>(documents, length), 320, 78)) {
    all.insert(all.end(), ids.end() - static_cast<std::ptrdiff_t>(tail), ids.end());
  }
  testing::write_npy_int32(path, {documents, tail}, all);
}

/// `model` is a golden checkpoint's name or a directory.
CommandResult analyze(const std::string& model, const fs::path& tokens, const fs::path& out,
                      const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {
      "analyze", golden(model), "--tokens", tokens,  "--set-sizes", "1,2,4",     "--random-repeats",
      "2",       "--theory",    "off",      "--out", out,           "--compute", "f32"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_command(testing::tool(), arguments);
}

nlohmann::json read(const fs::path& path) { return nlohmann::json::parse(read_text_file(path)); }

TEST(Measures, NestedContextsAreTheRunsOverThem) {
  const ScratchDirectory scratch;
  write_documents(scratch / "long.npy", 5, 60);
  write_documents(scratch / "short.npy", 5, 60, 32);
  const CommandResult nested = analyze("tiny-llama", scratch / "long.npy", scratch / "nested",
                                       {"--context-lengths", "32,48", "--queries", "all"});
  ASSERT_EQ(nested.exit_code, 0) << nested.err;
  ASSERT_EQ(analyze("tiny-llama", scratch / "short.npy", scratch / "alone").exit_code, 0);
  const Dataset run = read_netcdf(scratch / "nested" / "heads.nc");
  const Dataset alone = read_netcdf(scratch / "alone" / "heads.nc");
  const auto settings = run.labels<std::string>("measure_setting");
  const std::vector<std::string> labels(settings.begin(), settings.end());
  ASSERT_EQ(labels, (std::vector<std::string>{"60:all", "60:last", "48:all", "48:last", "32:all",
                                              "32:last"}));
  const auto regimes = run.values<std::int32_t>("regime_by_setting");
  const auto stabilities = run.values<double>("regime_stability_by_setting");
  const auto expected = alone.values<std::int32_t>("regime");
  const auto expected_stabilities = alone.values<double>("regime_stability");
  for (std::size_t head = 0; head < expected.size(); ++head) {
    EXPECT_EQ(regimes[head * 6 + 5], expected[head]);
    EXPECT_NEAR(stabilities[head * 6 + 5], expected_stabilities[head], 0.01);
    EXPECT_EQ(regimes[head * 6], run.values<std::int32_t>("regime")[head]);
  }
  const nlohmann::json stability = read(scratch / "nested" / "regimes.json").at("label_stability");
  EXPECT_EQ(stability.at("settings").size(), 6u);
  EXPECT_EQ(stability.at("agreement").size(), 15u);
  for (const auto& pair : stability.at("agreement")) {
    EXPECT_LE(pair.at("same_label"), pair.at("heads"));
  }
  EXPECT_THAT(nested.out, HasSubstr("Same label as in the table above"));

  const CommandResult longer =
      analyze("tiny-llama", scratch / "long.npy", scratch / "no", {"--context-lengths", "64"});
  EXPECT_EQ(longer.exit_code, 2);
  EXPECT_THAT(longer.err, AllOf(HasSubstr("64"), HasSubstr("60")));
}

TEST(Measures, ThresholdsAreRecordedAndUnknownOnesNamed) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 3, 40);
  write_file_atomically(scratch / "thresholds.json",
                        R"({"sink_mass": 0.25, "effective_number": 12})");
  const CommandResult result =
      analyze("tiny-llama", scratch / "ids.npy", scratch / "run",
              {"--regime-thresholds", scratch / "thresholds.json", "--regime-threshold",
               "effective_number=4", "--regime-threshold", "self_mass=0.75"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("sink_mass 0.25"), HasSubstr("effective_number 4")));
  const nlohmann::json thresholds =
      read(scratch / "run" / "run.json").at("settings").at("protocol").at("regime_thresholds");
  EXPECT_EQ(thresholds.at("sink_mass"), 0.25);
  EXPECT_EQ(thresholds.at("effective_number"), 4.0);
  EXPECT_EQ(thresholds.at("self_mass"), 0.75);
  EXPECT_EQ(thresholds.at("separability"), RegimeThresholds().separability);
  EXPECT_EQ(thresholds, read(scratch / "run" / "regimes.json").at("thresholds"));

  const CommandResult unknown = analyze("tiny-llama", scratch / "ids.npy", scratch / "no",
                                        {"--regime-threshold", "sinkmass=0.5"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, AllOf(HasSubstr("sinkmass"), HasSubstr("sink_mass, output_ratio")));
  write_file_atomically(scratch / "bad.json", R"({"entropy": 1})");
  const CommandResult in_file = analyze("tiny-llama", scratch / "ids.npy", scratch / "no",
                                        {"--regime-thresholds", scratch / "bad.json"});
  EXPECT_EQ(in_file.exit_code, 1);
  EXPECT_THAT(in_file.err,
              AllOf(HasSubstr("bad.json"), HasSubstr("entropy"), HasSubstr("separability")));
  EXPECT_FALSE(fs::exists(scratch / "no"));
}

TEST(Measures, OneShortDocumentSaysWhatIsNotDefined) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 1, 10);  // shorter than the recency window
  const CommandResult result = analyze("tiny-llama", scratch / "ids.npy", scratch / "run");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("One document: the stability of labels is not defined"));
  EXPECT_THAT(result.out, HasSubstr("too few heads"));
  const Dataset heads = read_netcdf(scratch / "run" / "heads.nc");
  for (std::size_t head = 0; head < heads.values<std::int32_t>("regime").size(); ++head) {
    EXPECT_EQ(heads.values<std::int32_t>("regime")[head], 0);
    EXPECT_EQ(heads.values<std::string>("regime_reason")[head], "too few visible tokens");
    EXPECT_TRUE(std::isnan(heads.values<double>("regime_stability")[head]));
    EXPECT_EQ(heads.values<std::string>("regime_stability_reason")[head], "undefined regime");
    EXPECT_EQ(heads.values<std::string>("interval_reason")[head], "one document");
    EXPECT_FALSE(std::isnan(heads.values<double>("sink_mass")[head]));
    EXPECT_TRUE(std::isnan(heads.values<double>("sink_mass_low")[head]));
    EXPECT_EQ(heads.values<std::int64_t>("sink_mass_documents")[head], 1);
    // All that is not the sink is recent.
    EXPECT_EQ(heads.values<double>("content_mass")[head], 0.0);
  }
}

TEST(Measures, AWindowWithoutTheSinkHasNoSinkFigures) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 3, 40);
  ASSERT_EQ(analyze("tiny-mistral", scratch / "ids.npy", scratch / "run").exit_code, 0);
  const Dataset heads = read_netcdf(scratch / "run" / "heads.nc");
  for (std::size_t head = 0; head < heads.values<std::int32_t>("regime").size(); ++head) {
    EXPECT_EQ(heads.values<std::string>("sink_reason")[head], "no sink visible");
    EXPECT_EQ(heads.values<std::string>("regime_reason")[head], "no sink visible");
    for (const char* name : {"sink_mass", "sink_rate", "sink_similarity", "selectivity"}) {
      EXPECT_TRUE(std::isnan(heads.values<double>(name)[head])) << name;
    }
    EXPECT_FALSE(std::isnan(heads.values<double>("entropy")[head]));
  }
}

TEST(Measures, HeadsThatWriteNothingSaySo) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 3, 40);
  testing::copy_checkpoint(golden("tiny-llama"), scratch / "model");
  const ModelConfig config = read_model_config(scratch / "model");
  const int elements = config.num_kv_heads * config.head_dim * config.hidden_size;
  for (int i = 0; i < elements; ++i) {
    testing::set_element(scratch / "model", "model.layers.1.self_attn.v_proj.weight",
                         static_cast<std::size_t>(i), 0.0f);
  }
  ASSERT_EQ(analyze(scratch / "model", scratch / "ids.npy", scratch / "run").exit_code, 0);
  const Dataset heads = read_netcdf(scratch / "run" / "heads.nc");
  const std::size_t per_layer = heads.dimension_size("head");
  const std::size_t sizes = heads.dimension_size("set_size");
  for (std::size_t head = 0; head < 3 * per_layer; ++head) {
    const bool zero = head / per_layer == 1;
    EXPECT_EQ(heads.values<double>("head_output_norm")[head] == 0.0, zero);
    EXPECT_EQ(heads.values<std::string>("regime_reason")[head], zero ? "values are zero" : "");
    EXPECT_EQ(heads.values<std::string>("rank_reason")[head], zero ? "the matrix is zero" : "");
    EXPECT_FALSE(std::isnan(heads.values<double>("entropy")[head]));
    for (std::size_t n = 0; n < sizes; ++n) {
      EXPECT_EQ(std::isnan(heads.values<double>("deletion_error")[head * sizes + n]), zero);
      EXPECT_EQ(heads.values<std::string>("selection_error_reason")[head * sizes + n],
                zero ? "zero head output" : "");
    }
  }
}

TEST(Measures, EveryUndefinedFigureHasAReasonBesideIt) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 1, 12);
  for (const char* model : {"tiny-gemma2", "tiny-llama"}) {
    ASSERT_EQ(analyze(model, scratch / "ids.npy", scratch / model, {"--detector-sequences", "0"})
                  .exit_code,
              0);
    const Dataset heads = read_netcdf(scratch / model / "heads.nc");
    std::size_t undefined = 0;
    for (const LabelledArray& variable : heads.variables()) {
      const auto* values = std::get_if<std::vector<double>>(&variable.values);
      if (values == nullptr) continue;
      for (std::size_t i = 0; i < values->size(); ++i) {
        if (!std::isnan((*values)[i])) continue;
        ++undefined;
        const auto reasons =
            heads.values<std::string>(std::get<std::string>(variable.attributes.at("reason")));
        EXPECT_NE(
            reasons[reasons.size() == values->size() ? i : i * reasons.size() / values->size()], "")
            << variable.name << " at " << i;
      }
    }
    EXPECT_GT(undefined, 0u);
  }
}

TEST(Measures, ImportedScoresAreComparedWithEveryMeasure) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 4, 40);
  ASSERT_EQ(analyze("tiny-llama3-gqa", scratch / "ids.npy", scratch / "first").exit_code, 0);
  // Scores that rank the query heads as their entropy does.
  const Dataset first = read_netcdf(scratch / "first" / "heads.nc");
  const std::size_t heads = first.dimension_size("head");
  const auto entropy = first.values<double>("entropy");
  nlohmann::ordered_json scores;
  for (std::size_t row = 0; row < entropy.size(); ++row) {
    scores[std::to_string(row / heads) + "-" + std::to_string(row % heads)] = {
        std::exp(entropy[row])};
  }
  write_file_atomically(scratch / "scores.json", scores.dump());
  const CommandResult result = analyze("tiny-llama3-gqa", scratch / "ids.npy", scratch / "run",
                                       {"--compare-with", scratch / "scores.json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("scores.json"), HasSubstr("entropy")));
  const Dataset run = read_netcdf(scratch / "run" / "heads.nc");
  for (std::size_t row = 0; row < entropy.size(); ++row) {
    EXPECT_DOUBLE_EQ(run.values<double>("imported_score")[row], std::exp(entropy[row]));
  }
  EXPECT_THAT(read_text_file(scratch / "run" / "heads.csv"), HasSubstr(",imported_score"));
  const nlohmann::json imported =
      read(scratch / "run" / "regimes.json").at("imported_scores").at(0);
  bool found = false;
  for (const auto& row : imported.at("correlations")) {
    if (row.at("measure") != "entropy") continue;
    found = true;
    EXPECT_NEAR(row.at("spearman").get<double>(), 1.0, 1e-12);
    EXPECT_EQ(row.at("heads"), entropy.size());
  }
  EXPECT_TRUE(found);

  const CommandResult other = analyze("tiny-llama", scratch / "ids.npy", scratch / "no",
                                      {"--compare-with", scratch / "scores.json"});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr("scores.json"));
  EXPECT_FALSE(fs::exists(scratch / "no"));
}

TEST(Compare, PutsRunsSideBySide) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 3, 40);
  ASSERT_EQ(analyze("tiny-llama", scratch / "ids.npy", scratch / "a").exit_code, 0);
  ASSERT_EQ(analyze("tiny-llama", scratch / "ids.npy", scratch / "b",
                    {"--regime-threshold", "effective_number=2"})
                .exit_code,
            0);
  ASSERT_EQ(analyze("tiny-qwen2", scratch / "ids.npy", scratch / "c").exit_code, 0);
  const CommandResult result = run_command(
      testing::tool(),
      {"compare", scratch / "a", scratch / "b", scratch / "c", "--csv", scratch / "table.csv"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("mixer"), HasSubstr("A and B"), HasSubstr("0.00-0.25"),
                                HasSubstr("F at the top N")));

  // Shares and agreement as counted here.
  const Dataset a = read_netcdf(scratch / "a" / "heads.nc");
  const Dataset b = read_netcdf(scratch / "b" / "heads.nc");
  const auto first = a.values<std::int32_t>("regime"), second = b.values<std::int32_t>("regime");
  std::size_t same = 0, mixers = 0;
  for (std::size_t head = 0; head < first.size(); ++head) {
    same += first[head] == second[head] ? 1 : 0;
    mixers += first[head] == static_cast<std::int32_t>(Regime::mixer) ? 1 : 0;
  }
  const std::string csv = read_text_file(scratch / "table.csv");
  const auto number = [](double x) { return nlohmann::json(x).dump(); };
  const std::string count = std::to_string(first.size());
  const std::string share = number(double(same) / double(first.size()));
  EXPECT_THAT(csv,
              HasSubstr("agreement," + (scratch / "a").string() + "," + (scratch / "b").string() +
                        ",,,,,,same_label," + (same == first.size() ? "1" : share) + "," + count));
  EXPECT_THAT(csv, HasSubstr(std::to_string(mixers) + "\n"));
  const std::vector<std::string> lines = testing::lines(csv);
  for (const std::string& line : lines) {
    EXPECT_EQ(std::count(line.begin(), line.end(), ','), 10) << line;
  }
}

TEST(Compare, RefusesWhatIsNoRunOfThisVersion) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 2, 30);
  ASSERT_EQ(analyze("tiny-llama", scratch / "ids.npy", scratch / "run").exit_code, 0);
  const auto compare = [&](const fs::path& other) {
    return run_command(testing::tool(), {"compare", scratch / "run", other});
  };
  EXPECT_EQ(run_command(testing::tool(), {"compare", scratch / "run"}).exit_code, 2);
  const CommandResult absent = compare(scratch / "absent");
  EXPECT_EQ(absent.exit_code, 1);
  EXPECT_THAT(absent.err, HasSubstr("no such directory"));
  fs::create_directories(scratch / "empty");
  EXPECT_THAT(compare(scratch / "empty").err, HasSubstr("holds no run.json"));
  ASSERT_EQ(
      analyze("tiny-llama", scratch / "ids.npy", scratch / "off", {"--measures", "off"}).exit_code,
      0);
  EXPECT_THAT(compare(scratch / "off").err, HasSubstr("--measures on"));

  const auto changed = [&](const std::string& file, const std::string& key,
                           const nlohmann::json& value) {
    fs::remove_all(scratch / "changed");
    fs::copy(scratch / "run", scratch / "changed", fs::copy_options::recursive);
    nlohmann::json json = read(scratch / "changed" / file);
    json[key] = value;
    write_file_atomically(scratch / "changed" / file, json.dump());
    const CommandResult result = compare(scratch / "changed");
    EXPECT_EQ(result.exit_code, 1);
    return result.err;
  };
  EXPECT_THAT(changed("run.json", "schema_version", 99),
              AllOf(HasSubstr("schema_version 99"), HasSubstr("reads")));
  EXPECT_THAT(changed("regimes.json", "schema_version", 99), HasSubstr("schema_version 99"));
  EXPECT_THAT(changed("run.json", "status", "running"), HasSubstr("not complete"));
}

}  // namespace
}  // namespace toplens
