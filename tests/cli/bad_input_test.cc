// Wrong token ids, texts, arrays and command lines.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cli/bad_input.h"
#include "support/safetensors_file.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::BadInput;
using ::testing::HasSubstr;
using testing::kBadUsage;
using testing::kWorkFailed;
using testing::run_command;

TEST_F(BadInput, TokenIds) {
  const std::string model = golden("tiny-llama");
  const auto fails = [&](const std::string& file) {
    std::string message;
    for (const char* command : {"perplexity", "capture", "analyze"}) {
      std::vector<std::string> arguments = {command, model, "--tokens", path(file)};
      if (command != std::string("perplexity")) {
        arguments.insert(arguments.end(), {"--out", path("out")});
      }
      message = failure(arguments, kWorkFailed);
      EXPECT_THAT(message, HasSubstr(file));
      EXPECT_FALSE(fs::exists(path("out")));
    }
    return message;
  };
  testing::write_npy(path("ids.npy"), {3}, std::vector<std::int64_t>{1, 320, 2});
  EXPECT_THAT(fails("ids.npy"), AllOf(HasSubstr("320")));
  testing::write_npy(path("ids.npy"), {3}, std::vector<std::int64_t>{1, -1, 2});
  EXPECT_THAT(fails("ids.npy"), HasSubstr("-1"));
  testing::write_npy(path("ids.npy"), {2}, std::vector<std::int64_t>{1, std::int64_t{1} << 32});
  EXPECT_THAT(fails("ids.npy"), HasSubstr("4294967296"));
  testing::write_npy(path("float.npy"), {2}, std::vector<float>{1, 2});
  EXPECT_THAT(fails("float.npy"), HasSubstr("f4"));
  testing::write_npy(path("cube.npy"), {1, 1, 2}, std::vector<std::int64_t>{1, 2});
  fails("cube.npy");
  testing::write_npy(path("empty.npy"), {0}, std::vector<std::int64_t>{});
  fails("empty.npy");
  testing::write_npy(path("short.npy"), {9}, std::vector<std::int64_t>{1, 2});
  fails("short.npy");
  testing::write_npy(path("long.npy"), {600}, std::vector<std::int64_t>(600, 1));
  EXPECT_THAT(fails("long.npy"), AllOf(HasSubstr("600"), HasSubstr("512")));
  testing::write_bytes(path("text.npy"), "not an array");
  fails("text.npy");
  fails("absent.npy");
  // One token has nothing to be predicted from.
  testing::write_npy(path("one.npy"), {1}, std::vector<std::int64_t>{1});
  EXPECT_THAT(failure({"perplexity", model, "--tokens", path("one.npy")}, kWorkFailed),
              HasSubstr("context length is 1"));
}

TEST_F(BadInput, TextShorterThanTheContext) {
  const auto model = testing::shared_directory() / "data" / "models" / "stories260K";
  TOPLENS_NEED_SHARED(model);
  testing::write_bytes(path("short.txt"), "Once upon a time");
  EXPECT_THAT(failure({"analyze", model, "--text", path("short.txt"), "--context-length", "64",
                       "--out", path("out")},
                      kWorkFailed),
              AllOf(HasSubstr("short.txt"), HasSubstr("64 tokens"), HasSubstr("too short")));
  EXPECT_FALSE(fs::exists(path("out")));
  testing::write_bytes(path("bad.txt"), "Once \xff upon a time");
  EXPECT_THAT(failure({"perplexity", model, "--text", path("bad.txt")}, kWorkFailed),
              AllOf(HasSubstr("bad.txt"), HasSubstr("5")));
  EXPECT_THAT(failure({"perplexity", model, "--text", path("none.txt")}, kWorkFailed),
              HasSubstr("none.txt"));
  EXPECT_THAT(failure({"perplexity", model, "--text", path("short.txt"), "--context-length", "513"},
                      kBadUsage),
              AllOf(HasSubstr("513"), HasSubstr("512")));
}

TEST_F(BadInput, MemoryBudgetThatHoldsNoDocument) {
  EXPECT_THAT(
      failure({"analyze", golden("tiny-llama"), "--tokens", tokens("tiny-llama"), "--set-sizes",
               "2", "--documents", "1", "--memory", "1KiB", "--out", path("out")},
              kWorkFailed),
      AllOf(HasSubstr("1.0 KiB"), HasSubstr("--memory"), HasSubstr("needs")));
  EXPECT_FALSE(fs::exists(path("out")));
}

struct Usage {
  std::vector<std::string> arguments;
  std::string named;
};

TEST_F(BadInput, CommandLinesThatAreWrong) {
  const std::string model = golden("tiny-llama"), ids = tokens("tiny-llama");
  const std::string attention = golden("tiny-llama") + "/expected/attention.npy";
  const std::string values = golden("tiny-llama") + "/expected/values.npy";
  const auto analyze = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"analyze", model,       "--tokens",    ids,
                                          "--out",   path("out"), "--documents", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  const auto geometry = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"geometry", "--attention", attention, "--values", values};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  const std::vector<Usage> wrong = {
      {{}, "subcommand"},
      {{"analyse"}, "analyse"},
      {{"--verbose"}, "--verbose"},
      {{"perplexity"}, "MODEL"},
      {{"perplexity", model}, "--tokens"},
      {{"perplexity", model, "--tokens", ids, "--text", ids}, "exactly one"},
      {{"perplexity", model, "--tokens", ids, "--lenght", "3"}, "--lenght"},
      {{"perplexity", model, "--tokens", ids, "--bos", "maybe"}, "maybe"},
      {{"perplexity", model, "--tokens", ids, "--compute", "f64"}, "f64"},
      {{"perplexity", model, "--tokens", ids, "--memory", "8 gigabytes"}, "8 gigabytes"},
      {{"perplexity", model, "--tokens", ids, "--threads", "-1"}, "--threads"},
      {{"perplexity", model, "--tokens", ids, "--threads", "two"}, "--threads"},
      {{"perplexity", model, "--tokens", ids, "--context-length", "50"}, "50"},
      {{"analyze", model, "--tokens", ids}, "--out"},
      {{"analyze", model, "--tokens", ids, "--output=out"},
       "'--output'"},  // before "--out is required"
      {analyze({"--set-sizes", "0"}), "0"},
      {analyze({"--set-sizes", "2,2"}), "twice"},
      {analyze({"--set-sizes", "two"}), "--set-sizes"},
      {analyze({"--rankings", "magnitude"}), "magnitude"},
      {analyze({"--distances", "manhattan"}), "manhattan"},
      {analyze({"--queries", "first"}), "first"},
      {analyze({"--metrics", "f1"}), "precision, recall, f_score, margin, inversions"},
      {analyze({"--queries", "tail:0"}), "tail:0"},
      {analyze({"--queries", "tail:x"}), "tail:x"},
      {analyze({"--random-repeats", "0"}), "--random-repeats"},
      {analyze({"--documents", "0"}), "--documents"},
      {analyze({"--documents", "0"}), "1073741824"},  // and not the largest double
      {analyze({"--sede", "1"}), "--sede"},
      {analyze({"--seed", "-3"}), "-3"},
      {{"capture", model, "--tokens", ids}, "--out"},
      {{"capture", model, "--tokens", ids, "--out", path("out"), "--what", "keys"}, "keys"},
      {{"capture", model, "--tokens", ids, "--out", path("out"), "--layers", "3"}, "3"},
      {{"capture", model, "--tokens", ids, "--out", path("out"), "--layers", "1,,2"}, "1,,2"},
      {{"geometry", "--attention", attention}, "--values"},
      {geometry({"--layers", "7"}), "7"},
      {geometry({"--window", "-3"}), "--window"},
      {geometry({"--distances", "euclidean,l1"}), "l1"},
  };
  for (const Usage& usage : wrong) {
    SCOPED_TRACE(::testing::PrintToString(usage.arguments));
    EXPECT_THAT(failure(usage.arguments, kBadUsage), HasSubstr(usage.named));
    EXPECT_FALSE(fs::exists(path("out")));
  }
}

TEST_F(BadInput, GeometryOfArraysThatDoNotFit) {
  testing::write_npy(path("a.npy"), {3}, std::vector<float>{0.5f, 0.25f, 0.25f});
  testing::write_npy(path("v.npy"), {3, 2}, std::vector<float>(6, 1.0f));
  testing::write_npy(path("v2.npy"), {2, 2}, std::vector<float>(4, 1.0f));
  testing::write_npy(path("nan.npy"), {3}, std::vector<float>{0.5f, std::nanf(""), 0.25f});
  const auto fails = [&](const std::string& attention, const std::string& values) {
    return failure(
        {"geometry", "--attention", path(attention), "--values", path(values), "--set-sizes", "1"},
        kWorkFailed);
  };
  EXPECT_THAT(fails("a.npy", "v2.npy"), AllOf(HasSubstr("v2.npy"), HasSubstr("[2, 2]")));
  EXPECT_THAT(fails("nan.npy", "v.npy"), HasSubstr("nan.npy[1]"));
  EXPECT_THAT(fails("absent.npy", "v.npy"), HasSubstr("absent.npy"));
  EXPECT_THAT(failure({"geometry", "--attention", path("a.npy"), "--values", path("v.npy"),
                       "--layers", "0"},
                      kBadUsage),
              HasSubstr("--layers"));
  EXPECT_EQ(run_command(testing::tool(), {"geometry", "--attention", path("a.npy"), "--values",
                                          path("v.npy"), "--set-sizes", "1"})
                .exit_code,
            0);
}

}  // namespace
}  // namespace toplens
