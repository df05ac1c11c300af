// The self-check of models that are as they should be, and of models with one planted fault each:
// the check that should find it does.

#include "selfcheck/self_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "selfcheck/collect.h"
#include "support/command.h"
#include "support/engine_run.h"
#include "support/safetensors_file.h"
#include "support/safetensors_writer.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::ScratchDirectory;

using Statuses = std::map<std::string, CheckStatus>;

fs::path demo() { return testing::source_directory() / "demo"; }

Statuses statuses(const Evidence& evidence) {
  Statuses all;
  for (const CheckResult& result : judge(evidence)) {
    EXPECT_NE(result.finding.reason, "") << result.name;
    all[std::string(result.name)] = result.finding.status;
  }
  return all;
}

std::string reason(const Evidence& evidence, std::string_view check) {
  for (const CheckResult& result : judge(evidence)) {
    if (result.name == check) return result.finding.reason;
  }
  return "no such check";
}

std::vector<std::string> with_status(const Evidence& evidence, CheckStatus status) {
  std::vector<std::string> names;
  for (const CheckResult& result : judge(evidence)) {
    if (result.finding.status == status) names.emplace_back(result.name);
  }
  return names;
}

std::vector<std::string> failures(const Evidence& evidence) {
  return with_status(evidence, CheckStatus::fail);
}
std::vector<std::string> warnings(const Evidence& evidence) {
  return with_status(evidence, CheckStatus::warn);
}

Evidence collect(const fs::path& model, const SelfCheckOptions& options,
                 std::uint64_t memory = std::uint64_t{4} << 30) {
  ModelSession session(model, 2, memory, ComputeMode::f32);
  return collect_evidence(session, options);
}

Evidence of_text(const fs::path& model) {
  SelfCheckOptions options;
  options.text = demo() / "text" / "held_out.txt";
  options.windows = 2;
  return collect(model, options);
}

/// A copy of the demo model that a test may damage.
fs::path copy_demo(const ScratchDirectory& scratch) {
  const fs::path copy = scratch / "model";
  fs::create_directories(copy);
  for (const char* name :
       {"config.json", "model.safetensors", "tokenizer.model", "tokenizer_config.json"}) {
    fs::copy_file(demo() / "model" / name, copy / name);
  }
  return copy;
}

void edit_json(const fs::path& file, const std::string& key, const nlohmann::json& value) {
  nlohmann::json json = nlohmann::json::parse(read_text_file(file));
  json[key] = value;
  testing::write_bytes(file, json.dump());
}

TEST(SelfCheck, PassesTheDemoModel) {
  const Evidence evidence = of_text(demo() / "model");
  for (const auto& [name, status] : statuses(evidence)) {
    EXPECT_EQ(status, CheckStatus::pass) << name << ": " << reason(evidence, name);
  }
  EXPECT_THAT(reason(evidence, "loss"), AllOf(HasSubstr("nats per token"), HasSubstr("expected")));
}

TEST(SelfCheck, DoesNotDependOnHowLanesAreBatched) {
  SelfCheckOptions options;
  options.text = demo() / "text" / "held_out.txt";
  const Evidence all = collect(demo() / "model", options);
  const Evidence batched = collect(demo() / "model", options, std::uint64_t{24} << 20);
  const std::vector<CheckResult> first = judge(all), second = judge(batched);
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i].finding.reason, second[i].finding.reason);
  }
}

class GoldenSelfCheck : public ::testing::TestWithParam<fs::path> {};

// Random weights on random tokens: the engine's checks pass, and the loss tells what they are.
TEST_P(GoldenSelfCheck, FindsOnlyThatTheWeightsAreRandom) {
  const ScratchDirectory scratch;
  const std::size_t documents = 6, length = 100;
  std::vector<std::int32_t> ids;
  for (const auto& document :
       testing::random_documents(std::vector<std::size_t>(documents, length), 320, 31)) {
    ids.insert(ids.end(), document.begin(), document.end());
  }
  testing::write_npy_int32(scratch / "ids.npy", {documents, length}, ids);
  SelfCheckOptions options;
  options.tokens = scratch / "ids.npy";
  const Evidence evidence = collect(GetParam(), options);
  EXPECT_EQ(failures(evidence), std::vector<std::string>{"loss"});
  EXPECT_THAT(reason(evidence, "loss"), HasSubstr("untrained weights"));
  const Statuses all = statuses(evidence);
  for (const char* name :
       {"checkpoint", "weights", "vocabulary", "activations", "attention sums", "causality",
        "windows", "attention soft-cap", "final soft-cap", "bf16"}) {
    EXPECT_EQ(all.at(name), CheckStatus::pass) << name << ": " << reason(evidence, name);
  }
  for (const char* name : {"round trip", "coverage", "BOS"}) {
    EXPECT_EQ(all.at(name), CheckStatus::skipped) << name;
  }
  const ModelConfig& config = evidence.config;
  const AttentionFacts& attention = evidence.passes->attention;
  EXPECT_EQ(*std::max_element(config.layer_window.begin(), config.layer_window.end()) > 0,
            attention.full_window_rows > 0);
  EXPECT_EQ(attention.rows_at_edge, attention.full_window_rows);
  if (config.attention_softcap > 0.0) {
    EXPECT_THAT(reason(evidence, "attention soft-cap"), HasSubstr("twice the cap"));
    EXPECT_THAT(reason(evidence, "final soft-cap"), HasSubstr("largest |logit|"));
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenSelfCheck, ::testing::ValuesIn(testing::golden_models()),
                         [](const auto& info) {
                           std::string name = info.param.filename().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(SelfCheck, FindsAWrongBos) {
  const ScratchDirectory scratch;
  const fs::path model = copy_demo(scratch);
  edit_json(model / "tokenizer_config.json", "bos_token", "</s>");
  const Evidence evidence = of_text(model);
  EXPECT_EQ(failures(evidence), std::vector<std::string>{"BOS"});
  EXPECT_THAT(reason(evidence, "BOS"), AllOf(HasSubstr("token 2"), HasSubstr("bos_token_id 1")));
}

TEST(SelfCheck, FindsAMissingBos) {
  const ScratchDirectory scratch;
  const fs::path model = copy_demo(scratch);
  edit_json(model / "tokenizer_config.json", "add_bos_token", false);
  SelfCheckOptions options;
  options.text = demo() / "text" / "held_out.txt";
  const Evidence evidence = collect(model, options);
  EXPECT_TRUE(failures(evidence).empty());
  EXPECT_EQ(warnings(evidence), std::vector<std::string>{"BOS effect"});
  EXPECT_THAT(reason(evidence, "BOS effect"), HasSubstr("add_bos_token"));
}

TEST(SelfCheck, FindsAWeightThatIsNotANumber) {
  const ScratchDirectory scratch;
  const fs::path model = copy_demo(scratch);
  testing::set_element(model, "model.layers.4.mlp.up_proj.weight", 5,
                       std::numeric_limits<float>::quiet_NaN());
  const Evidence evidence = of_text(model);
  EXPECT_EQ(failures(evidence), std::vector<std::string>{"weights"});
  EXPECT_THAT(reason(evidence, "weights"),
              AllOf(HasSubstr("model.layers.4.mlp.up_proj.weight"), HasSubstr("element 5")));
  EXPECT_EQ(statuses(evidence).at("loss"), CheckStatus::skipped);
}

TEST(SelfCheck, FindsActivationsThatOverflow) {
  const ScratchDirectory scratch;
  const fs::path model = copy_demo(scratch);
  testing::set_element(model, "model.layers.2.input_layernorm.weight", 7, 3e38f);
  const Evidence evidence = of_text(model);
  EXPECT_EQ(failures(evidence), std::vector<std::string>{"activations"});
  EXPECT_THAT(reason(evidence, "activations"), AllOf(HasSubstr("layer 2"), HasSubstr("document")));
}

/// Reverses the order of the rows of the (tied) embedding from `first_row` on.
void shuffle_embedding(const fs::path& model, std::size_t first_row) {
  const fs::path file = model / "model.safetensors";
  std::string bytes = read_text_file(file);
  std::uint64_t size = 0;
  for (int i = 7; i >= 0; --i) size = size << 8 | static_cast<unsigned char>(bytes[i]);
  const nlohmann::json header = nlohmann::json::parse(bytes.substr(8, size));
  const auto& tensor = header.at("model.embed_tokens.weight");
  const auto rows = tensor.at("shape")[0].get<std::size_t>();
  const auto begin = 8 + size + tensor.at("data_offsets")[0].get<std::size_t>();
  const auto end = 8 + size + tensor.at("data_offsets")[1].get<std::size_t>();
  const std::size_t row_bytes = (end - begin) / rows;
  for (std::size_t low = first_row, high = rows - 1; low < high; ++low, --high) {
    std::swap_ranges(bytes.begin() + static_cast<std::ptrdiff_t>(begin + low * row_bytes),
                     bytes.begin() + static_cast<std::ptrdiff_t>(begin + (low + 1) * row_bytes),
                     bytes.begin() + static_cast<std::ptrdiff_t>(begin + high * row_bytes));
  }
  testing::write_bytes(file, bytes);
}

TEST(SelfCheck, FindsAShuffledVocabulary) {
  const ScratchDirectory scratch;
  const fs::path model = copy_demo(scratch);
  shuffle_embedding(model, 300);
  const Evidence evidence = of_text(model);
  EXPECT_EQ(failures(evidence), std::vector<std::string>{"loss"});
  EXPECT_THAT(reason(evidence, "loss"), HasSubstr("another model's tokenizer"));
}

TEST(SelfCheck, FindsAWrongRopeTheta) {
  const ScratchDirectory scratch;
  const fs::path model = copy_demo(scratch);
  edit_json(model / "config.json", "rope_theta", 500.0);
  const Evidence evidence = of_text(model);
  EXPECT_TRUE(failures(evidence).empty());
  EXPECT_EQ(warnings(evidence), std::vector<std::string>{"positions"});
  EXPECT_THAT(reason(evidence, "positions"), HasSubstr("rope_theta"));
}

TEST(SelfCheck, FindsATokenizerThatCannotBeRead) {
  const ScratchDirectory scratch;
  const fs::path model = copy_demo(scratch);
  fs::remove(model / "tokenizer.model");
  const Evidence evidence = of_text(model);
  EXPECT_EQ(failures(evidence), std::vector<std::string>{"round trip"});
  EXPECT_THAT(reason(evidence, "round trip"), HasSubstr("tokenizer.json"));
}

TEST(SelfCheckCommand, PrintsATableAndExitsWithWhatItFound) {
  const std::string text = demo() / "text" / "held_out.txt";
  const auto run = [&](const fs::path& model, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"selfcheck", model, "--text", text, "--windows", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return testing::run_command(testing::tool(), arguments);
  };
  const CommandResult good = run(demo() / "model");
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_THAT(good.out, AllOf(HasSubstr("  round trip          pass     "),
                              HasSubstr("16 pass, 0 warn, 0 fail, 0 skipped\n")));
  const ScratchDirectory scratch;
  const fs::path model = copy_demo(scratch);
  edit_json(model / "config.json", "residual_scale", 2);
  const CommandResult bad = run(model, {"--json"});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_THAT(bad.err, HasSubstr("1 of 16 checks failed"));
  const nlohmann::json results = nlohmann::json::parse(bad.out);
  ASSERT_EQ(results.size(), self_checks().size());
  EXPECT_EQ(results[0].at("check"), "checkpoint");
  EXPECT_EQ(results[0].at("status"), "fail");
  EXPECT_THAT(results[0].at("reason").get<std::string>(), HasSubstr("residual_scale"));
  for (std::size_t i = 1; i < results.size(); ++i) {
    EXPECT_EQ(results[i].at("status"), "skipped");
    EXPECT_NE(results[i].at("asks"), "");
  }
}

TEST(SelfCheckCommand, RefusesWhatItCannotUse) {
  const ScratchDirectory scratch;
  const std::string model = demo() / "model", text = demo() / "text" / "held_out.txt";
  testing::write_bytes(scratch / "empty.txt", "");
  testing::write_bytes(scratch / "bytes.txt", "\xff\xfe");
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"selfcheck", model});
    const CommandResult result = testing::run_command(testing::tool(), arguments);
    EXPECT_EQ(result.out, "");
    return std::to_string(result.exit_code) + " " + result.err;
  };
  EXPECT_THAT(run({}), AllOf(HasSubstr("2 "), HasSubstr("--text and --tokens")));
  EXPECT_THAT(run({"--text", text, "--tokens", "ids.npy"}), HasSubstr("exactly one"));
  EXPECT_THAT(run({"--text", text, "--context-length", "513"}),
              AllOf(HasSubstr("2 "), HasSubstr("513"), HasSubstr("512")));
  EXPECT_THAT(run({"--text", scratch / "absent.txt"}), AllOf(HasSubstr("1 "), HasSubstr("absent")));
  EXPECT_THAT(run({"--text", scratch / "empty.txt"}), AllOf(HasSubstr("1 "), HasSubstr("too few")));
  EXPECT_THAT(run({"--text", text, "--memory", "2MiB"}), AllOf(HasSubstr("1 "), HasSubstr("MiB")));
  EXPECT_THAT(run({"--text", scratch / "bytes.txt"}), AllOf(HasSubstr("1 "), HasSubstr("UTF-8")));
}

}  // namespace
}  // namespace toplens
