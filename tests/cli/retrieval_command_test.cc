// questions and retrieval as a user runs them, on the demo model.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "support/command.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

using ::testing::AllOf;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::run_command;
using testing::ScratchDirectory;
using ::testing::StartsWith;

constexpr const char* kStories =
    "1 Mary went to the kitchen.\n"
    "2 John went to the garden.\n"
    "3 Where is Mary? \tkitchen\t1\n"
    "4 Mary went back to the hall.\n"
    "5 Where is Mary? \thall\t4\n"
    "6 Where is John? \tgarden\t2\n";

CommandResult run(const std::vector<std::string>& arguments) {
  return run_command(testing::tool(), arguments);
}

std::string demo_model() { return testing::source_directory() / "demo/model"; }

class RetrievalCommand : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) const {
    const std::string path = scratch_ / name;
    write_file_atomically(path, text);
    return path;
  }
  std::string questions() const {
    const std::string path = scratch_ / "q.jsonl";
    const CommandResult result =
        run({"questions", "--babi", write("qa1.txt", kStories), "--out", path});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, "3 questions in " + path + "\n");
    return path;
  }
  CommandResult retrieve(const std::string& path, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"retrieval", demo_model(), "--questions",
                                          path,        "--compute",  "f32"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }

  ScratchDirectory scratch_;
};

TEST_F(RetrievalCommand, AnswersInATableJsonAndFiles) {
  const std::string path = questions();
  const CommandResult text = retrieve(path, {"--set-sizes", "4,100000", "--ranking", "attention",
                                             "--rule", "delete", "--out", scratch_ / "out"});
  ASSERT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, AllOf(StartsWith("3 questions of " + path), HasSubstr("BOS: token 1"),
                              HasSubstr("by the first continuation token in 3 questions"),
                              HasSubstr("untreated"), HasSubstr("attention, delete, model, N = 4 "),
                              HasSubstr("Support at the answer query, 3 questions")));
  const CommandResult result = retrieve(
      path, {"--set-sizes", "4,100000", "--ranking", "attention", "--rule", "delete", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(read_text_file(scratch_ / "out" / "retrieval.json"), result.out);
  const CommandResult again = retrieve(path, {"--out", scratch_ / "out"});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err, HasSubstr("holds retrieval.json already"));
  const nlohmann::json json = nlohmann::json::parse(result.out);
  ASSERT_EQ(json["results"].size(), 3u);
  EXPECT_TRUE(json["results"][0]["ranking"].is_null());
  EXPECT_EQ(json["results"][1]["set_size"], 4);
  EXPECT_EQ(json["results"][2]["loss_nats"], json["results"][0]["loss_nats"]);
  EXPECT_EQ(json["results"][2]["loss_increase_nats"], 0.0);
  EXPECT_EQ(json["heads"].size(), 48u);
  EXPECT_EQ(json["support"]["num_questions"], 3);
  EXPECT_THAT(json["protocol"]["template"].get<std::string>(), HasSubstr("only the short answer"));
  EXPECT_GT(json["heads"][0]["support_mass"], 0.0);
  double mass = 0;
  for (const nlohmann::json& head : json["heads"]) mass += head["support_mass"].get<double>() / 48;
  EXPECT_NEAR(json["support"]["support_mass"].get<double>(), mass, 1e-12);
  const auto heads = testing::lines(read_text_file(scratch_ / "out" / "heads.csv"));
  ASSERT_EQ(heads.size(), 49u);
  EXPECT_THAT(heads[0], StartsWith("layer,head,num_questions,support_mass,support_mass_low,"));
  EXPECT_THAT(heads[48], StartsWith("5,7,3,"));
  EXPECT_EQ(testing::lines(read_text_file(scratch_ / "out" / "answers.csv")).size(), 10u);
}

TEST_F(RetrievalCommand, BackgroundIsTheSameInEveryRun) {
  const std::vector<std::string> mix = {"questions",
                                        "--questions",
                                        questions(),
                                        "--background",
                                        testing::source_directory() / "demo/text/held_out.txt",
                                        "--tokens",
                                        "200",
                                        "--tokenizer",
                                        demo_model()};
  const CommandResult first = run(mix);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.err, HasSubstr("to 200 tokens (200 wanted"));
  EXPECT_EQ(run(mix).out, first.out);
  std::vector<std::string> other = mix;
  other.insert(other.end(), {"--seed", "1"});
  EXPECT_NE(run(other).out, first.out);
  const CommandResult result = retrieve(write("mixed.jsonl", first.out), {"--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(nlohmann::json::parse(result.out)["support"]["num_questions"], 3);
}

TEST_F(RetrievalCommand, NamesSharedFirstTokensAndExcludedSupport) {
  const std::string path =
      write("q.jsonl",
            R"({"context": "Mary is in the hall.", "question": "Where?", "answer": "the hall",)"
            R"( "candidates": ["the hall", "the kitchen", "Paris"], "support_spans": [[12, 14]]})"
            "\n");
  const CommandResult result = retrieve(path, {"--json", "--out", scratch_ / "out"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(
      result.err,
      AllOf(HasSubstr("note: the candidates the hall, the kitchen share their first token in 1 "
                      "question; there a candidate's score is the mean log-probability"),
            HasSubstr("note: no support measured in 1 question: a support span does not align "
                      "with tokens (first in q.jsonl:1, 'he': its beginning lies within")));
  const nlohmann::json json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json["scoring"]["mean_log_probability"], 1);
  ASSERT_EQ(json["scoring"]["shared_first_token"].size(), 1u);
  EXPECT_EQ(json["scoring"]["shared_first_token"][0]["candidates"],
            (std::vector<std::string>{"the hall", "the kitchen"}));
  ASSERT_EQ(json["support"]["excluded"].size(), 1u);
  EXPECT_THAT(json["support"]["excluded"][0]["reason"].get<std::string>(), HasSubstr("'he'"));
  EXPECT_TRUE(json["heads"].empty());
  EXPECT_TRUE(json["results"][0]["loss_nats_low"].is_null());
  EXPECT_EQ(json["interval_reason"], "one question: no interval");
}

TEST_F(RetrievalCommand, BadUsageAndBadInput) {
  const std::string path = questions();
  const auto usage = [&](const std::vector<std::string>& more, const char* expected) {
    const CommandResult result = retrieve(path, more);
    EXPECT_EQ(result.exit_code, 2) << expected;
    EXPECT_THAT(result.err, HasSubstr(expected));
  };
  usage({"--set-sizes", "4"}, "--set-sizes needs --ranking and --rule");
  usage({"--ranking", "random"}, "--ranking, --rule and --scope need --set-sizes");
  const auto treated = [](const char* size, const char* ranking, const char* rule,
                          const char* scope) -> std::vector<std::string> {
    return {"--set-sizes", size, "--ranking", ranking, "--rule", rule, "--scope", scope};
  };
  usage(treated("0", "random", "delete", "model"), "0 tokens: at least one");
  usage(treated("1", "best", "delete", "model"), "attention, contribution, random, positional");
  usage(treated("1", "random", "drop", "model"), "delete, renormalize");
  usage(treated("1", "random", "delete", "layer:6"), "layer");
  usage(treated("4,4", "random", "delete", "model"), "4 is given twice");
  usage({"--scope", "layer:1"}, "need --set-sizes");
  usage({"--template", "{context}"}, "{context} and {question} once each");
  const CommandResult bad = retrieve(write("bad.jsonl", "{\"context\": 1}\n"));
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_THAT(bad.err, HasSubstr("bad.jsonl: line 1: "));
  for (const auto& [arguments, expected] :
       std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"questions"}, "none of --babi and --questions"},
           {{"questions", "--babi", "a", "--questions", "b"}, "both of --babi and --questions"},
           {{"questions", "--babi", "a", "--tokens", "5"}, "go together"}}) {
    const CommandResult result = run(arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr(expected));
  }
}

}  // namespace
}  // namespace toplens
