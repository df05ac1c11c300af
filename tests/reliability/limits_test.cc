// Inputs that are far too large, lead elsewhere, or hold markup.

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/bad_input.h"
#include "io/atomic_file.h"
#include "reliability/disturbed_run.h"
#include "support/safetensors_file.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::kWorkFailed;
using ::testing::Not;
using testing::run_command;

constexpr std::uintmax_t kGigabyte = 1'000'000'000;

class Limits : public testing::BadInput {
 protected:
  /// Runs the tool where it cannot have more than 700 MiB of memory of its own (mapped files do not
  /// count). A sanitizer needs terabytes of addresses: there the tool runs without.
  CommandResult run_in_little_memory(const std::vector<std::string>& arguments) const {
    if (testing::kSanitized) return run_command(testing::tool(), arguments);
    std::vector<std::string> shell = {"-c", "ulimit -d 716800 && exec \"$@\"", "sh",
                                      testing::tool()};
    shell.insert(shell.end(), arguments.begin(), arguments.end());
    return run_command("/bin/bash", shell);
  }
  std::string failure_in_little_memory(const std::vector<std::string>& arguments) const {
    const CommandResult result = run_in_little_memory(arguments);
    EXPECT_EQ(result.exit_code, kWorkFailed) << result.err;
    EXPECT_EQ(testing::lines(result.err).size(), 1u) << result.err;
    return result.err;
  }
  std::string demo() const { return testing::source_directory() / "demo" / "model"; }
};

TEST_F(Limits, ALineOfAGigabyteIsRefusedWithItsNumber) {
  const std::string corpus = path("corpus.jsonl");
  testing::write_bytes(corpus, "{\"text\": \"one\"}\n{\"text\": \"two\"}\n{\"text\": \"");
  fs::resize_file(corpus, kGigabyte);
  for (const char* command : {"perplexity", "analyze"}) {
    std::vector<std::string> arguments = {command, demo(), "--jsonl", corpus};
    if (std::string(command) == "analyze") {
      arguments.insert(arguments.end(), {"--out", path("run")});
    }
    EXPECT_THAT(failure_in_little_memory(arguments),
                AllOf(HasSubstr("corpus.jsonl: line 3: "), HasSubstr("67108864 bytes")));
  }
  EXPECT_FALSE(fs::exists(path("run")));
  EXPECT_THAT(failure_in_little_memory({"questions", "--questions", corpus, "--count", "1"}),
              HasSubstr("corpus.jsonl: line 1: "));
  // Nor from a pipe that never ends a line.
  const CommandResult piped = run_command(
      "/bin/bash",
      {"-c", "head -c 200000000 /dev/zero | \"$0\" perplexity \"$1\" --jsonl /dev/stdin",
       testing::tool(), demo()});
  EXPECT_EQ(piped.exit_code, kWorkFailed);
  EXPECT_THAT(piped.err, HasSubstr("line 1: the line has more than"));
}

TEST_F(Limits, FilesThatAreReadAsAWholeHaveALargestSize) {
  const std::string text = path("text.txt");
  testing::write_bytes(text, "once");
  fs::resize_file(text, (std::uintmax_t{1} << 30) + 1);
  EXPECT_THAT(failure_in_little_memory({"perplexity", demo(), "--text", text}),
              AllOf(HasSubstr("text.txt"), HasSubstr("1073741824 bytes")));

  for (const char* file : {"config.json", "model.safetensors.index.json", "tokenizer.json",
                           "tokenizer.model", "tokenizer_config.json"}) {
    SCOPED_TRACE(file);
    const fs::path model = scratch_ / "large";
    fs::remove_all(model);
    fs::copy(demo(), model);
    if (std::string(file) == "tokenizer.json") fs::remove(model / "tokenizer.model");
    testing::write_bytes(model / file, "{");
    fs::resize_file(model / file, 40 * kGigabyte);
    testing::write_bytes(path("small.txt"), "once upon a time");
    EXPECT_THAT(failure_in_little_memory({"perplexity", model, "--text", path("small.txt")}),
                AllOf(HasSubstr(file), HasSubstr("100000000 bytes")));
  }
}

TEST_F(Limits, HeadersThatPromiseMuchAllocateLittle) {
  // A header as long as the file would allow, but not what the format does.
  const std::string model = copy("tiny-llama");
  const fs::path weights = fs::path(model) / "model.safetensors";
  testing::write_bytes(weights, std::string("\0\x10\xa5\xd4\xe8\0\0\0", 8));  // 10^12
  fs::resize_file(weights, 2'000'000'000'000);
  EXPECT_THAT(failure_in_little_memory({"inspect", model}),
              AllOf(HasSubstr("model.safetensors"), HasSubstr("the limit is 100000000")));
  // A GGUF file whose array of 2^40 elements would lie in a file that claims to be as large.
  std::string gguf("GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0", 24);
  gguf += std::string("\x01\0\0\0\0\0\0\0k", 9);   // key "k"
  gguf += std::string("\x09\0\0\0\x08\0\0\0", 8);  // an array of texts
  gguf += std::string("\0\0\0\0\0\x01\0\0", 8);    // 2^40 of them
  testing::write_bytes(path("large.gguf"), gguf);
  EXPECT_THAT(failure_in_little_memory({"inspect", path("large.gguf")}),
              AllOf(HasSubstr("large.gguf"), HasSubstr("truncated")));
  // Sizes in config.json that no tensor has.
  nlohmann::json config =
      nlohmann::json::parse(read_text_file(fs::path(golden("tiny-llama")) / "config.json"));
  fs::remove_all(model);
  copy("tiny-llama");
  for (const char* key : {"num_hidden_layers", "vocab_size", "hidden_size", "num_attention_heads",
                          "intermediate_size", "max_position_embeddings"}) {
    SCOPED_TRACE(key);
    nlohmann::json changed = config;
    changed[key] = 2'000'000'000;
    testing::write_bytes(fs::path(model) / "config.json", changed.dump());
    const CommandResult result =
        run_in_little_memory({"perplexity", model, "--tokens", tokens("tiny-llama")});
    if (std::string(key) == "max_position_embeddings" && result.exit_code == 0) continue;
    EXPECT_EQ(result.exit_code, kWorkFailed) << result.err;
    EXPECT_THAT(result.err, Not(HasSubstr("out of memory")));
  }
}

TEST_F(Limits, ShardNamesThatAreNoPlainFileNamesAreRefused) {
  const fs::path model = copy("tiny-llama");
  testing::write_bytes(scratch_ / "outside.safetensors", "x");
  const std::vector<std::string> names = {(scratch_ / "outside.safetensors").string(),
                                          "../outside.safetensors",
                                          "a/../../outside.safetensors",
                                          "./model.safetensors",
                                          "sub/model.safetensors",
                                          "..",
                                          ".",
                                          "",
                                          "..\\outside.safetensors",
                                          std::string("model.safetensors\0.txt", 22),
                                          "/"};
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const nlohmann::json index = {{"weight_map", {{"lm_head.weight", name}}}};
    testing::write_bytes(model / "model.safetensors.index.json", index.dump());
    EXPECT_THAT(perplexity_failure(model),
                AllOf(HasSubstr("'lm_head.weight'"), HasSubstr("expected a plain file name")));
  }
}

TEST_F(Limits, LinksOutOfTheCheckpointAreFollowedOnlyWhenAsked) {
  const fs::path model = copy("tiny-llama");
  fs::rename(model / "model.safetensors", scratch_ / "weights");
  fs::create_symlink("../weights", model / "model.safetensors");
  const std::string ids = tokens("tiny-llama");
  const std::vector<std::vector<std::string>> commands = {
      {"perplexity", model, "--tokens", ids},
      {"inspect", model},
      {"capture", model, "--tokens", ids, "--out", path("out")},
      {"analyze", model, "--tokens", ids, "--set-sizes", "2", "--out", path("out")},
      {"intervene", model, "--tokens", ids, "--ranking", "attention", "--rule", "renormalize",
       "--set-sizes", "2"}};
  for (std::vector<std::string> command : commands) {
    SCOPED_TRACE(command[0]);
    EXPECT_THAT(failure(command, kWorkFailed),
                AllOf(HasSubstr((model / "model.safetensors").string()), HasSubstr("weights"),
                      HasSubstr("--follow-links")));
    command.emplace_back("--follow-links");
    const CommandResult result = run_command(testing::tool(), command);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    fs::remove_all(scratch_ / "out");
  }
}

TEST_F(Limits, NamesWithMarkupAreTextInTheReport) {
  const std::string model_name = "<img src=x onerror=alert(1)>";
  const std::string scores_name = "<svg onload=alert(2)>\"'&.json";
  const std::string tokens_name = "<b>\"bold'&amp;<!--.npy";
  const std::string run_name = "<i>run<!--";
  const fs::path model = scratch_ / model_name;
  testing::copy_checkpoint(golden("tiny-llama3-gqa"), model);
  testing::write_npy_int32(scratch_ / tokens_name, {9, 40}, std::vector<std::int32_t>(360, 7));
  nlohmann::json scores;
  for (int layer = 0; layer < 2; ++layer) {
    for (int head = 0; head < 8; ++head) {
      scores[fmt::format("{}-{}", layer, head)] = {0.1 * head, 0.05 * layer};
    }
  }
  testing::write_bytes(scratch_ / scores_name, scores.dump());
  const CommandResult result = run_command(
      testing::tool(), {"analyze", model, "--tokens", scratch_ / tokens_name, "--documents", "9",
                        "--set-sizes", "1,4", "--measures", "on", "--compare-with",
                        scratch_ / scores_name, "--out", scratch_ / run_name});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string page = read_text_file(scratch_ / run_name / "report.html");
  for (const char* markup : {"<img src=x", "<svg onload", "<b>\"bold", "<i>run", "<!--.npy"}) {
    EXPECT_EQ(page.find(markup), std::string::npos) << markup;
  }
  // They are there all the same.
  for (const char* name : {"onerror=alert(1)", "onload=alert(2)", "bold'", "run\\u003c!--"}) {
    EXPECT_NE(page.find(name), std::string::npos) << name;
  }
  const std::string begin = "id=\"report-data\">";
  const std::size_t from = page.find(begin) + begin.size();
  const std::string data = page.substr(from, page.find("</script", from) - from);
  EXPECT_EQ(data.find_first_of("<>&"), std::string::npos);
  EXPECT_THAT(nlohmann::json::parse(data).dump(), HasSubstr(model_name));
}

}  // namespace
}  // namespace toplens
