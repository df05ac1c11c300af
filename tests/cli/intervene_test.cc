// intervene and budget as a user runs them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/bad_input.h"
#include "io/atomic_file.h"
#include "results/netcdf_file.h"
#include "support/command.h"
#include "support/engine_run.h"
#include "support/golden_records.h"
#include "support/safetensors_file.h"
#include "support/safetensors_writer.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::BadInput;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::kBadUsage;
using testing::kWorkFailed;
using testing::run_command;
using testing::ScratchDirectory;

std::string golden(const std::string& name) { return testing::golden_directory() / name; }
std::string tokens(const std::string& model) { return golden(model) + "/expected/token_ids.npy"; }

CommandResult run(const std::vector<std::string>& arguments) {
  return run_command(testing::tool(), arguments);
}

nlohmann::json json_of(const std::vector<std::string>& arguments) {
  const CommandResult result = run(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return nlohmann::json::parse(result.out);
}

/// [documents, length] of random ids of tiny-llama's vocabulary.
std::string write_documents(const ScratchDirectory& scratch, std::size_t documents,
                            std::size_t length) {
  const std::vector<std::size_t> lengths(documents, length);
  std::vector<std::int32_t> all;
  for (const testing::TokenIds& ids : testing::random_documents(lengths, 320, 77)) {
    all.insert(all.end(), ids.begin(), ids.end());
  }
  testing::write_npy_int32(scratch / "ids.npy", {documents, length}, all);
  return scratch / "ids.npy";
}

TEST(Intervene, RecordsAreThoseOfTheContractAndTheReference) {
  for (const std::string model : {"tiny-llama", "tiny-mistral"}) {
    const nlohmann::json expected = testing::expected_json(golden(model));
    const nlohmann::json records =
        json_of({"intervene", golden(model), "--tokens", tokens(model), "--set-sizes", "1,4,16,96",
                 "--ranking", "attention,contribution", "--rule", "delete,renormalize", "--scope",
                 "model,layer:1,head:1.2", "--compute", "f32", "--json"});
    ASSERT_EQ(records.size(), 1u + 2 * 2 * 3 * 4);
    const nlohmann::json& untreated = records[0];
    for (const char* key : {"ranking", "rule", "scope", "set_size"}) {
      EXPECT_TRUE(untreated.at(key).is_null()) << key;
    }
    EXPECT_EQ(untreated.at("num_targets"), 95);
    EXPECT_EQ(untreated.at("relative_change"), 0.0);
    std::size_t compared = 0;
    for (const nlohmann::json& record : records) {
      const double nll = record.at("nll_nats_per_token");
      EXPECT_EQ(record.at("perplexity").get<double>(), std::exp(nll));
      EXPECT_EQ(record.at("num_targets"), 95);
      const double base = untreated.at("nll_nats_per_token");
      EXPECT_NEAR(record.at("relative_change").get<double>(), nll / base - 1, 1e-12);
      if (record.at("set_size") == 96) {
        EXPECT_EQ(nll, base);
      }
      for (const auto& like : expected.at("interventions")) {
        const std::string scope = !like.contains("scope") ? "model"
                                  : like.contains("head") ? "head:" + like.at("layer").dump() +
                                                                "." + like.at("head").dump()
                                                          : "layer:" + like.at("layer").dump();
        if (record.at("ranking") != like.at("ranking") || record.at("rule") != like.at("rule") ||
            record.at("set_size") != like.at("set_size") || record.at("scope") != scope ||
            like.value("min_gap", 1.0) < 5e-5) {
          continue;
        }
        EXPECT_NEAR(nll, like.at("nll_nats_per_token").get<double>(), 1e-4) << record;
        ++compared;
      }
    }
    EXPECT_GE(compared, 10u);
    // The untreated model is perplexity's, bit for bit.
    const nlohmann::json perplexity = json_of(
        {"perplexity", golden(model), "--tokens", tokens(model), "--compute", "f32", "--json"});
    EXPECT_EQ(untreated.at("nll_nats_per_token"), perplexity.at("nll_nats_per_token"));
  }
}

TEST(Intervene, FindsNeededSizesAndWritesThem) {
  const ScratchDirectory scratch;
  const std::string ids = write_documents(scratch, 4, 40);
  const std::vector<std::string> arguments = {"intervene",   golden("tiny-llama"),
                                              "--tokens",    ids,
                                              "--tolerance", "0.001,0.004",
                                              "--ranking",   "random",
                                              "--rule",      "delete",
                                              "--compute",   "f32",
                                              "--out",       scratch / "out"};
  const CommandResult plain = run(arguments);
  ASSERT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_THAT(plain.out, AllOf(HasSubstr("4 windows of 40 tokens"), HasSubstr("no BOS added"),
                               HasSubstr("all 39 targets scored"), HasSubstr("N*")));
  const std::string needed = read_text_file(scratch / "out/needed_sizes.csv");
  EXPECT_THAT(needed, HasSubstr("random,delete,model,40,none added,all,4,0.001,"));
  EXPECT_EQ(testing::lines(needed).size(), 3u);
  EXPECT_THAT(read_text_file(scratch / "out/interventions.csv"),
              HasSubstr("ranking,rule,scope,layer,head,set_size,context_length,bos"));
  const Dataset dataset = read_netcdf(scratch / "out/interventions.nc");
  EXPECT_EQ(dataset.dimension_size("document"), 4u);

  // The directory is taken; resuming computes nothing again and leaves the same files.
  EXPECT_EQ(run(arguments).exit_code, kWorkFailed);
  std::vector<std::string> resume = arguments;
  resume.emplace_back("--resume");
  ASSERT_EQ(run(resume).exit_code, 0);
  EXPECT_EQ(read_text_file(scratch / "out/needed_sizes.csv"), needed);
  resume.insert(resume.end(), {"--seed", "3"});
  const CommandResult other = run(resume);
  EXPECT_EQ(other.exit_code, kWorkFailed);
  EXPECT_THAT(other.err, HasSubstr("seed"));

  std::vector<std::string> json = arguments;
  json.resize(json.size() - 2);
  json.emplace_back("--json");
  const nlohmann::json found = json_of(json);
  EXPECT_EQ(found.at("needed_sizes").size(), 2u);
  EXPECT_GE(found.at("evaluations").size(), 7u);
}

TEST(Intervene, MatchedTargetsAreTheSameAtEveryLength) {
  const ScratchDirectory scratch;
  const std::string ids = write_documents(scratch, 3, 64);
  const nlohmann::json records =
      json_of({"intervene", golden("tiny-llama"), "--tokens", ids, "--context-lengths", "16,64",
               "--score-tail", "8", "--set-sizes", "2", "--ranking", "positional", "--rule",
               "renormalize", "--json"});
  ASSERT_EQ(records.size(), 4u);
  for (const nlohmann::json& record : records) EXPECT_EQ(record.at("num_targets"), 24);
  EXPECT_EQ(records[0].at("context_length"), 16);
  EXPECT_EQ(records[2].at("context_length"), 64);
}

TEST(Intervene, ScansEveryLayerAndHead) {
  const ScratchDirectory scratch;
  const std::string ids = write_documents(scratch, 3, 32);
  const CommandResult heads =
      run({"intervene", golden("tiny-llama"), "--tokens", ids, "--scan", "heads", "--set-sizes",
           "2", "--ranking", "attention", "--rule", "delete", "--out", scratch / "out"});
  ASSERT_EQ(heads.exit_code, 0) << heads.err;
  EXPECT_THAT(heads.out, AllOf(HasSubstr("untreated NLL "), HasSubstr("layer"), HasSubstr("head 0"),
                               HasSubstr("N = 2")));
  const Dataset dataset = read_netcdf(scratch / "out/interventions.nc");
  const auto change = dataset.values<double>("scan_relative_change");
  const auto low = dataset.values<double>("scan_relative_change_low");
  EXPECT_EQ(change.size(),
            dataset.dimension_size("layer_index") * dataset.dimension_size("head_index"));
  for (std::size_t i = 0; i < change.size(); ++i) EXPECT_LE(low[i], change[i]);
  const CommandResult layers =
      run({"intervene", golden("tiny-llama"), "--tokens", ids, "--scan", "layers", "--set-sizes",
           "2,4", "--ranking", "attention", "--rule", "delete", "--lanes", "3"});
  ASSERT_EQ(layers.exit_code, 0) << layers.err;
  EXPECT_THAT(layers.out, AllOf(HasSubstr("N = 2"), HasSubstr("N = 4")));
}

TEST(Budget, IsFoundFromAScanWrittenExportedAndVerified) {
  const ScratchDirectory scratch;
  const std::string ids = write_documents(scratch, 8, 32);
  const std::string model = golden("tiny-llama3-gqa");
  const std::vector<std::string> common = {model, "--tokens", ids, "--documents", "4"};
  const auto with = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin() + 1, common.begin(), common.end());
    return arguments;
  };
  ASSERT_EQ(run(with({"intervene", "--scan", "heads", "--set-sizes", "1,4,16", "--ranking",
                      "attention", "--rule", "delete", "--out", scratch / "scan"}))
                .exit_code,
            0);
  // What a killed process of the same command left, and what one that still lives is writing.
  const pid_t killed = fork();
  if (killed == 0) _exit(0);
  waitpid(killed, nullptr, 0);
  const std::vector<std::string> names = {"budget.json", "kept_tokens.npy", "interventions.nc"};
  const auto under_construction = [&](const std::string& name, pid_t process) {
    return scratch / "budget" / fmt::format(".{}.{}-0.tmp", name, process);
  };
  fs::create_directory(scratch / "budget");
  for (const std::string& name : names) {
    for (const pid_t process : {killed, getpid()}) {
      std::ofstream(under_construction(name, process)) << "{";
    }
  }
  const CommandResult found =
      run(with({"budget", "--ranking", "attention", "--rule", "delete", "--tolerance", "0.002",
                "--scan-from", scratch / "scan", "--export", "npy", "--out", scratch / "budget"}));
  ASSERT_EQ(found.exit_code, 0) << found.err;
  EXPECT_THAT(found.out, AllOf(HasSubstr("uniform N*"), HasSubstr("sensitivity"),
                               HasSubstr("4 other documents"), HasSubstr("kept_tokens.npy")));
  for (const std::string& name : names) {
    EXPECT_FALSE(fs::exists(under_construction(name, killed))) << name;
    EXPECT_TRUE(fs::exists(under_construction(name, getpid()))) << name;
  }
  const nlohmann::json budget =
      nlohmann::json::parse(read_text_file(scratch / "budget/budget.json"));
  EXPECT_EQ(budget.at("loss_curves").at("set_sizes"), (std::vector<int>{1, 4, 16}));
  ASSERT_EQ(budget.at("budgets").size(), 3u);
  for (const nlohmann::json& one : budget.at("budgets")) {
    EXPECT_LE(one.at("calibration_change").get<double>(), 0.002);
    const auto kept = one.at("query_heads").get<std::vector<std::vector<int>>>();
    const auto kv = one.at("kv_heads").get<std::vector<std::vector<int>>>();
    const std::size_t group = kept[0].size() / kv[0].size();
    std::int64_t total = 0, kv_total = 0;
    for (std::size_t layer = 0; layer < kept.size(); ++layer) {
      for (std::size_t head = 0; head < kept[layer].size(); ++head) total += kept[layer][head];
      for (std::size_t head = 0; head < kv[layer].size(); ++head) {
        const auto first = kept[layer].begin() + static_cast<std::ptrdiff_t>(head * group);
        EXPECT_EQ(kv[layer][head],
                  *std::max_element(first, first + static_cast<std::ptrdiff_t>(group)));
        kv_total += kv[layer][head];
      }
    }
    EXPECT_EQ(one.at("total_kept_tokens"), total);
    EXPECT_EQ(one.at("kv_total_kept_tokens"), kv_total);
    const int head_dim =
        nlohmann::json::parse(read_text_file(model + "/config.json")).value("head_dim", 0);
    if (head_dim > 0) {
      EXPECT_EQ(one.at("kv_cache_bytes"), kv_total * 2 * 2 * head_dim);
    }
  }
  const nlohmann::json verified =
      json_of(with({"budget", "--verify", scratch / "budget/budget.json", "--json"}));
  ASSERT_EQ(verified.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {  // the calibration documents again
    EXPECT_EQ(verified[i].at("verified_change"), budget.at("budgets")[i].at("calibration_change"));
  }
}

TEST_F(BadInput, Interventions) {
  const std::string model = golden("tiny-llama");
  const auto fails = [&](std::vector<std::string> more, int code = kBadUsage) {
    std::vector<std::string> arguments = {"intervene",          model,   "--tokens",
                                          tokens("tiny-llama"), "--out", path("out")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const std::string message = failure(arguments, code);
    EXPECT_FALSE(fs::exists(path("out"))) << message;
    return message;
  };
  const auto with = [](std::vector<std::string> more) {
    more.insert(more.end(), {"--ranking", "attention", "--rule", "delete"});
    return more;
  };
  EXPECT_THAT(fails({"--set-sizes", "4", "--ranking", "attention"}), HasSubstr("--rule"));
  EXPECT_THAT(fails({"--set-sizes", "4", "--rule", "delete"}), HasSubstr("--ranking"));
  EXPECT_THAT(fails(with({})), HasSubstr("none of --set-sizes and --tolerance"));
  EXPECT_THAT(fails(with({"--set-sizes", "4", "--tolerance", "0.1"})), HasSubstr("both"));
  EXPECT_THAT(fails(with({"--set-sizes", "0"})), HasSubstr("at least one"));
  EXPECT_THAT(fails(with({"--tolerance", "0"})), HasSubstr("above 0"));
  EXPECT_THAT(fails(with({"--tolerance", "0.1,-0.05"})), HasSubstr("-0.05"));
  EXPECT_THAT(fails(with({"--tolerance", "inf"})), HasSubstr("finite"));
  EXPECT_THAT(fails(with({"--tolerance", "0.05,0.05"})), HasSubstr("0.05 is given twice"));
  EXPECT_THAT(fails(with({"--set-sizes", "4,8,4"})), HasSubstr("4 is given twice"));
  EXPECT_THAT(fails(with({"--set-sizes", "4", "--scope", "head:0.99"})),
              AllOf(HasSubstr("head:0.99"), HasSubstr("query heads")));
  EXPECT_THAT(fails(with({"--set-sizes", "4", "--scope", "layer:99"})), HasSubstr("layers"));
  EXPECT_THAT(fails(with({"--set-sizes", "4", "--scope", "head:1"})), HasSubstr("head:L.H"));
  EXPECT_THAT(fails(with({"--set-sizes", "4", "--scan", "tokens"})), HasSubstr("layers, heads"));
  EXPECT_THAT(fails({"--set-sizes", "4", "--ranking", "best", "--rule", "delete"}),
              AllOf(HasSubstr("best"), HasSubstr("positional")));
  EXPECT_THAT(fails({"--set-sizes", "4", "--ranking", "attention", "--rule", "drop"}),
              AllOf(HasSubstr("drop"), HasSubstr("renormalize")));
  EXPECT_THAT(fails(with({"--set-sizes", "4", "--context-lengths", "32,64", "--score-tail", "32"})),
              HasSubstr("do not fit"));
  // The rows hold 96 tokens.
  EXPECT_THAT(fails(with({"--set-sizes", "4", "--context-lengths", "32,128", "--score-tail", "8"}),
                    kWorkFailed),
              AllOf(HasSubstr("96"), HasSubstr("128")));
}

TEST_F(BadInput, BudgetsOfAnotherModel) {
  const std::string model = golden("tiny-llama");
  const std::string ids = tokens("tiny-llama");
  EXPECT_THAT(failure({"budget", model, "--tokens", ids, "--ranking", "attention", "--rule",
                       "delete", "--tolerance", "0"},
                      kBadUsage),
              HasSubstr("--tolerance: 0 must be"));
  EXPECT_THAT(
      failure({"budget", model, "--tokens", ids, "--ranking", "attention", "--rule", "delete"},
              kBadUsage),
      HasSubstr("--tolerance are required"));
  EXPECT_THAT(failure({"budget", model, "--tokens", ids, "--ranking", "attention", "--rule",
                       "delete", "--tolerance", "0.01", "--set-sizes", "0"},
                      kBadUsage),
              HasSubstr("at least one"));
  ASSERT_EQ(run({"budget", model, "--tokens", ids, "--ranking", "attention", "--rule", "delete",
                 "--tolerance", "0.01", "--set-sizes", "4", "--out", path("budget")})
                .exit_code,
            0);
  const auto verify = [&](const std::string& other) {
    return failure(
        {"budget", golden(other), "--tokens", ids, "--verify", path("budget/budget.json")},
        kWorkFailed);
  };
  EXPECT_THAT(verify("tiny-qwen2"), HasSubstr("another model"));
  // What stands in the file cannot be asked for anew.
  EXPECT_THAT(failure({"budget", model, "--tokens", ids, "--verify", path("budget/budget.json"),
                       "--rule", "renormalize"},
                      kBadUsage),
              AllOf(HasSubstr("--verify"), HasSubstr("--rule")));
  const std::string changed = copy("tiny-llama");
  testing::set_element(changed, "model.norm.weight", 0, 2.0f);
  EXPECT_THAT(failure({"budget", changed, "--tokens", ids, "--verify", path("budget/budget.json")},
                      kWorkFailed),
              AllOf(HasSubstr("another model"), HasSubstr("weights")));
  testing::write_bytes(path("budget/budget.json"), "{}");
  EXPECT_THAT(verify("tiny-llama"), HasSubstr("budgets"));
}

}  // namespace
}  // namespace toplens
