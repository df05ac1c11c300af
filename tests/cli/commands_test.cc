// capture, geometry, perplexity and inspect as a user runs them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "geometry/reference_geometry.h"
#include "io/atomic_file.h"
#include "io/npy.h"
#include "support/command.h"
#include "support/golden_records.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::run_command;
using testing::ScratchDirectory;

CommandResult run(const std::vector<std::string>& arguments) {
  return run_command(testing::tool(), arguments);
}

/// Standard output of a command that must succeed, as exactly one JSON value.
nlohmann::json json_of(const std::vector<std::string>& arguments) {
  const CommandResult result = run(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return nlohmann::json::parse(result.out);  // throws at anything behind the value
}

std::string golden(const std::string& name) { return testing::golden_directory() / name; }
std::string tokens(const std::string& model) { return golden(model) + "/expected/token_ids.npy"; }

TEST(Help, OfEveryCommandNamesItsOptions) {
  const CommandResult top = run({"--help"});
  EXPECT_EQ(top.exit_code, 0);
  EXPECT_EQ(run({"--version"}).exit_code, 0);
  for (const std::string command :
       {"analyze", "capture", "geometry", "perplexity", "inspect", "selfcheck"}) {
    EXPECT_THAT(top.out, HasSubstr(command));
    const CommandResult help = run({command, "--help"});
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_EQ(help.err, "");
    EXPECT_THAT(help.out, HasSubstr(command == "geometry" ? "--attention" : "MODEL"));
    if (command != "geometry" && command != "inspect") {
      for (const char* option : {"--compute", "--threads", "--memory", "--context-length"}) {
        EXPECT_THAT(help.out, HasSubstr(option)) << command;
      }
    }
  }
}

TEST(Help, OfVerifyNamesItsOptions) {
  EXPECT_THAT(run({"--help"}).out, HasSubstr("verify"));
  const CommandResult help = run({"verify", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* option : {"RUN_DIR", "--model", "--text", "--documents", "--json"}) {
    EXPECT_THAT(help.out, HasSubstr(option));
  }
  EXPECT_THAT(run({"analyze", "--help"}).out, HasSubstr("--digest-weights"));
}

TEST(Capture, WritesTheArraysOfTheContract) {
  const ScratchDirectory scratch;
  const std::string out = scratch / "out";
  const CommandResult all = run(
      {"capture", golden("tiny-llama3-gqa"), "--tokens", tokens("tiny-llama3-gqa"), "--what",
       "logits,attention,values,head_output", "--layers", "all", "--compute", "f32", "--out", out});
  ASSERT_EQ(all.exit_code, 0) << all.err;
  using Shape = std::vector<std::uint64_t>;
  const auto shape = [&](const std::string& name) {
    return NpyFloatArray(out + "/" + name).shape();
  };
  EXPECT_EQ(shape("logits.npy"), (Shape{96, 320}));
  EXPECT_EQ(shape("attention.npy"), (Shape{2, 8, 96, 96}));
  EXPECT_EQ(shape("values.npy"), (Shape{2, 2, 96, 16}));
  EXPECT_EQ(shape("head_output.npy"), (Shape{2, 8, 96, 16}));
  EXPECT_THAT(read_text_file(out + "/attention.npy"), HasSubstr("'<f4'"));
  std::set<std::string> files;
  for (const auto& entry : fs::directory_iterator(out)) files.insert(entry.path().filename());
  EXPECT_EQ(files, (std::set<std::string>{"attention.npy", "head_output.npy", "logits.npy",
                                          "values.npy"}));
  for (const std::string name : {"logits", "attention", "values", "head_output"}) {
    const NpyFloatArray found(out + "/" + name + ".npy");
    const NpyFloatArray expected(golden("tiny-llama3-gqa") + "/expected/" + name + ".npy");
    double largest = 0, difference = 0;
    for (std::size_t i = 0; i < found.values().size(); ++i) {
      largest = std::max(largest, std::fabs(double{expected.values()[i]}));
      const double d = std::fabs(double{found.values()[i]} - expected.values()[i]);
      if (!(d <= difference)) difference = d;
    }
    EXPECT_LT(difference, 5e-5 * largest) << name;
  }
}

TEST(Capture, WritesOnlyWhatIsAskedForAndTheSameNumbers) {
  const ScratchDirectory scratch;
  const std::string all = scratch / "all", some = scratch / "some";
  ASSERT_EQ(run({"capture", golden("tiny-gemma2"), "--tokens", tokens("tiny-gemma2"), "--out", all})
                .exit_code,
            0);
  ASSERT_EQ(run({"capture", golden("tiny-gemma2"), "--tokens", tokens("tiny-gemma2"), "--what",
                 "values", "--layers", "3,1", "--threads", "1", "--out", some})
                .exit_code,
            0);
  const NpyFloatArray values(some + "/values.npy"), reference(all + "/values.npy");
  ASSERT_EQ(values.shape(), (std::vector<std::uint64_t>{2, 2, 96, 16}));
  EXPECT_FALSE(fs::exists(some + "/logits.npy"));
  EXPECT_FALSE(fs::exists(some + "/attention.npy"));
  const std::size_t layer = 2 * 96 * 16;
  for (std::size_t i = 0; i < layer; ++i) {
    ASSERT_EQ(values.values()[i], reference.values()[layer + i]);
    ASSERT_EQ(values.values()[layer + i], reference.values()[3 * layer + i]);
  }
}

TEST(Perplexity, JsonHasExactlyTheThreeKeys) {
  for (const auto& model : testing::golden_models()) {
    const std::string ids = model / "expected" / "token_ids.npy";
    const nlohmann::json json =
        json_of({"perplexity", model, "--tokens", ids, "--compute", "f32", "--json"});
    ASSERT_TRUE(json.is_object());
    EXPECT_EQ(json.size(), 3u);
    const double nll = json.at("nll_nats_per_token");
    EXPECT_EQ(json.at("num_targets"), 95);
    EXPECT_NEAR(json.at("perplexity"), std::exp(nll), 1e-12 * std::exp(nll));
    EXPECT_NEAR(nll, testing::expected_json(model).at("nll_nats_per_token"), 1e-5) << model;
  }
}

TEST(Perplexity, OfTheStoryIsThePublishedOne) {
  const auto model = testing::shared_directory() / "data" / "models" / "stories260K";
  TOPLENS_NEED_SHARED(model);
  const ScratchDirectory scratch;
  write_file_atomically(
      scratch / "story.txt",
      "Once upon a time, there was a little girl named Lily. She loved to play outside in the "
      "park. One day, she saw a big, red ball. She wanted to play with it, but it was too high.");
  const nlohmann::json json =
      json_of({"perplexity", model, "--text", scratch / "story.txt", "--compute", "f32", "--json"});
  EXPECT_EQ(json.at("num_targets"), 61);
  EXPECT_NEAR(json.at("nll_nats_per_token"), 0.386, 0.0005);
}

TEST(Inspect, SaysWhatIsUnderstood) {
  const nlohmann::json json = json_of({"inspect", golden("tiny-gemma2"), "--json"});
  const nlohmann::json& model = json.at("model");
  EXPECT_EQ(model.at("architecture"), "Gemma2ForCausalLM");
  EXPECT_EQ(model.at("layer_window"), (std::vector<int>{20, 0, 20, 0}));
  EXPECT_EQ(model.at("attention_softcap"), 5.0);
  EXPECT_EQ(model.at("kv_heads"), 2);
  EXPECT_EQ(run({"inspect", golden("tiny-gemma2")}).exit_code, 0);
}

TEST(Inspect, NamesTheTextThatIsNoUtf8) {
  const auto tokenizer = testing::shared_directory() / "data" / "tokenizers" / "gpt-2";
  TOPLENS_NEED_SHARED(tokenizer);
  const ScratchDirectory scratch;
  write_file_atomically(scratch / "latin1.txt", "caf\xe9");
  const CommandResult result =
      run({"inspect", "--tokenizer-only", tokenizer, "--text", scratch / "latin1.txt"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("latin1.txt: invalid UTF-8 at byte 3"));
}

class GoldenGeometry : public ::testing::TestWithParam<fs::path> {};

TEST_P(GoldenGeometry, OfStoredArraysIsTheExpectedOne) {
  const fs::path model = GetParam();
  const nlohmann::json expected = testing::expected_json(model).at("geometry");
  nlohmann::json found = nlohmann::json::array();
  for (const testing::LayersOfAWindow& layers : testing::layers_by_window(model)) {
    const nlohmann::json records =
        json_of({"geometry", "--attention", model / "expected" / "attention.npy", "--values",
                 model / "expected" / "values.npy", "--layers", layers.layers, "--window",
                 std::to_string(layers.window), "--rankings", "attention,contribution",
                 "--set-sizes", testing::set_sizes(expected), "--json"});
    ASSERT_TRUE(records.is_array());
    found.insert(found.end(), records.begin(), records.end());
  }
  ASSERT_EQ(found.size(), expected.size());
  for (const nlohmann::json& record : found) {
    const std::set<std::string> keys = {"layer",    "head",     "query",     "ranking",
                                        "distance", "set_size", "precision", "recall",
                                        "f_score",  "margin",   "inversions"};
    std::set<std::string> found_keys;
    for (const auto& item : record.items()) found_keys.insert(item.key());
    ASSERT_EQ(found_keys, keys);
  }
  const testing::TieRule ties(model);
  std::size_t near_ties = 0;
  for (const nlohmann::json& wanted : expected) {
    const nlohmann::json& record = testing::find_record(found, wanted);
    if (ties.near_tie(wanted)) {
      ++near_ties;
      continue;
    }
    for (const char* metric : {"precision", "recall", "f_score"}) {
      EXPECT_NEAR(record.at(metric), wanted.at(metric), 1e-12) << wanted;
    }
    EXPECT_EQ(record.at("inversions"), wanted.at("inversions")) << wanted;
    EXPECT_NEAR(record.at("margin"), wanted.at("margin"), 1e-4) << wanted;
  }
  EXPECT_LT(near_ties, expected.size() / 10);
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenGeometry, ::testing::ValuesIn(testing::golden_models()),
                         [](const auto& info) {
                           std::string name = info.param.filename().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Geometry, SizesThatAreNotDefinedHaveOneLineAndNoRecord) {
  const std::string expected = golden("tiny-llama") + "/expected/";
  const CommandResult result =
      run({"geometry", "--attention", expected + "attention.npy", "--values",
           expected + "values.npy", "--set-sizes", "2,95,96,500", "--json"});
  ASSERT_EQ(result.exit_code, 0);
  const nlohmann::json records = nlohmann::json::parse(result.out);
  EXPECT_EQ(records.size(), 3u * 4 * 3 * 2 * 2);
  for (const nlohmann::json& record : records) EXPECT_LT(record.at("set_size"), 96);
  const std::vector<std::string> notes = testing::lines(result.err);
  ASSERT_EQ(notes.size(), 2u) << result.err;
  EXPECT_THAT(notes[0], HasSubstr("set size 96"));
  EXPECT_THAT(notes[1], HasSubstr("set size 500"));
}

TEST(Geometry, CsvHasTheSameRecords) {
  const std::string expected = golden("tiny-qwen2") + "/expected/";
  const std::vector<std::string> arguments = {"geometry",
                                              "--attention",
                                              expected + "attention.npy",
                                              "--values",
                                              expected + "values.npy",
                                              "--set-sizes",
                                              "2",
                                              "--queries",
                                              "all",
                                              "--rankings",
                                              "attention"};
  const std::vector<std::string> csv = testing::lines(run(arguments).out);
  std::vector<std::string> with_json = arguments;
  with_json.emplace_back("--json");
  EXPECT_EQ(csv.size(), 1 + json_of(with_json).size());
  EXPECT_EQ(
      csv[0],
      "layer,head,query,ranking,distance,set_size,precision,recall,f_score,margin,inversions");
}

}  // namespace
}  // namespace toplens
