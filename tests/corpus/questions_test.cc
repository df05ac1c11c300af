#include "corpus/questions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "corpus/babi.h"
#include "io/atomic_file.h"
#include "support/error_message.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

using ::testing::ElementsAre;
using testing::error_message;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string text_of(const Question& question, std::size_t span) {
  const TextSpan& support = question.support[span];
  return question.context.substr(support.begin, support.end - support.begin);
}

TEST(Questions, SpansAreInCharactersOfTheContext) {
  const std::string line =
      R"({"context": "Caf\u00e9 au lait. Th\u00e9.", "question": "Q?", "answer": "b",)"
      R"( "candidates": ["a", "b"], "support_spans": [[0, 4], [14, 18]]})";
  const std::vector<Question> questions = parse_questions(line + "\n", "q.jsonl", "q.jsonl");
  ASSERT_EQ(questions.size(), 1u);
  EXPECT_EQ(questions[0].name, "q.jsonl:1");
  EXPECT_EQ(text_of(questions[0], 0), "Caf\xc3\xa9");
  EXPECT_EQ(text_of(questions[0], 1), "Th\xc3\xa9.");
  // What is written is read again.
  const std::string written = questions_jsonl(questions);
  const std::vector<Question> again = parse_questions(written, "w", "w");
  EXPECT_EQ(questions_jsonl(again), written);
  EXPECT_EQ(text_of(again[0], 1), "Th\xc3\xa9.");
}

TEST(Questions, BadLinesAreNamed) {
  const auto message = [](const std::string& fields) {
    const std::string good =
        R"({"context": "c", "question": "q", "answer": "a", "candidates": ["a", "b"]})";
    return error_message([&] { parse_questions(good + "\n" + fields, "q.jsonl", "q"); });
  };
  const auto with = [](const std::string& more) {
    return R"({"context": "a b", "question": "q", )" + more + "}";
  };
  const std::string rest = R"("answer": "a", "candidates": ["a", "b"])";
  EXPECT_EQ(message(with(rest + R"(, "support": [])")),
            "q.jsonl: line 2: key 'support' is not known; the keys are context, question, answer, "
            "candidates, support_spans");
  EXPECT_EQ(message(with(R"("candidates": ["a", "b"])")),
            "q.jsonl: line 2: key 'answer' is missing");
  EXPECT_THAT(message(with(R"("answer": "c", "candidates": ["a", "b"])")),
              HasSubstr("the answer 'c' is not among the candidates"));
  EXPECT_THAT(message(with(R"("answer": "a", "candidates": ["a"])")),
              HasSubstr("a list of 1, expected a list of at least two"));
  EXPECT_THAT(message(with(R"("answer": "a", "candidates": ["a", "a"])")),
              HasSubstr("candidate 'a' is there twice"));
  EXPECT_THAT(message(with(R"("answer": "a", "candidates": ["a", ""])")),
              HasSubstr("candidate 1 is ''"));
  EXPECT_THAT(message(with(R"("answer": 1, "candidates": ["a", "b"])")),
              HasSubstr("'answer' is 1, expected a text"));
  for (const std::string span : {"[2, 2]", "[0, 4]", "[-1, 2]", "[0]", "3", "[1, 2]"}) {
    EXPECT_THAT(message(with(rest + R"(, "support_spans": [)" + span + "]")),
                StartsWith("q.jsonl: line 2: support span "))
        << span;
  }
  EXPECT_THAT(message("[]"), HasSubstr("line 2: a list found, expected an object"));
  EXPECT_THAT(message("{"), HasSubstr("line 2: not valid JSON"));
  EXPECT_THAT(error_message([] { parse_questions("", "q.jsonl", "q"); }),
              HasSubstr("no questions"));
}

constexpr const char* kStories =
    "1 Ann went to the cellar.\n"
    "2 Bob moved to the attic.\n"
    "3 Where is Ann? \tcellar\t1\n"
    "4 Ann went back to the porch.\n"
    "5 Where is Ann? \tporch\t4 1\n"
    "1 Bob journeyed to the attic.\n"
    "2 Where is Bob? \tattic\t1\n";

TEST(Babi, AQuestionsContextIsItsStorySoFar) {
  const std::vector<Question> questions = parse_babi(kStories, "qa1.txt", "qa1.txt");
  ASSERT_EQ(questions.size(), 3u);
  EXPECT_EQ(questions[1].name, "qa1.txt:5");
  EXPECT_EQ(questions[1].context,
            "Ann went to the cellar. Bob moved to the attic. Ann went back to the porch.");
  EXPECT_EQ(questions[1].question, "Where is Ann?");
  EXPECT_EQ(questions[1].answer, "porch");
  EXPECT_THAT(questions[1].candidates, ElementsAre("attic", "cellar", "porch"));
  EXPECT_EQ(text_of(questions[1], 0), "Ann went back to the porch.");
  EXPECT_EQ(text_of(questions[1], 1), "Ann went to the cellar.");
  EXPECT_EQ(questions[2].context, "Bob journeyed to the attic.");
}

TEST(Babi, BadLinesAreNamed) {
  const auto message = [](const std::string& text) {
    return error_message([&] { parse_babi(text, "qa1.txt", "qa1"); });
  };
  EXPECT_EQ(message("Ann went.\n"), "qa1.txt: line 1: no number at its beginning");
  EXPECT_EQ(message("1 Ann went.\n3 Bob went.\n"), "qa1.txt: line 2: number 3 follows number 1");
  EXPECT_EQ(message("1 Ann went.\n2 Where? \tx\t7\n"),
            "qa1.txt: line 2: support '7' is no statement of the story before the question");
  EXPECT_THAT(message("1 Where? \tx\t1\n"), HasSubstr("line 1: a question needs a statement"));
  EXPECT_THAT(message("1 Ann went.\n2 Where? \tx\t1\n"), HasSubstr("every answer is 'x'"));
  EXPECT_THAT(message("1 Ann went.\n"), HasSubstr("no questions"));
}

TEST(Babi, ThePublishedTestSet) {
  const auto path = testing::shared_directory() / "data/corpora/babi_qa1_test.txt";
  TOPLENS_NEED_SHARED(path);
  const std::vector<Question> questions = read_babi(path);
  EXPECT_EQ(questions.size(), 1000u);
  for (const Question& question : questions) {
    EXPECT_THAT(question.candidates,
                ElementsAre("bathroom", "bedroom", "garden", "hallway", "kitchen", "office"));
    ASSERT_EQ(question.support.size(), 1u);
    // The supporting statement puts the person asked for where the answer says.
    const std::string person = question.question.substr(9, question.question.size() - 10);
    EXPECT_THAT(text_of(question, 0), StartsWith(person + " "));
    EXPECT_THAT(text_of(question, 0), HasSubstr(" " + question.answer + "."));
  }
}

}  // namespace
}  // namespace toplens
