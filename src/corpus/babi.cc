#include "corpus/babi.h"

#include <charconv>
#include <map>
#include <set>

#include <fmt/format.h>

#include <toplens/error.h>

#include "base/utf8.h"
#include "io/atomic_file.h"
#include "io/json_text.h"

namespace toplens {

namespace {

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") + 1 - first);
}

/// Takes the number off the front of `text`; -1 where there is none.
int take_number(std::string_view& text) {
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0) return -1;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

/// The statements of a story so far.
class Story {
 public:
  void add(int number, std::string_view statement) {
    if (!text_.empty()) text_ += ' ';
    const std::size_t begin = text_.size();
    text_ += statement;
    statements_[number] = {begin, text_.size()};
  }
  const std::string& text() const { return text_; }
  const std::map<int, TextSpan>& statements() const { return statements_; }

 private:
  std::string text_;
  std::map<int, TextSpan> statements_;
};

/// A question line behind its number.
Question parse_question(std::string_view line, const Story& story, const std::string& place) {
  const std::size_t first_tab = line.find('\t');
  const std::size_t second_tab = line.find('\t', first_tab + 1);
  Question question;
  question.context = story.text();
  question.question = trimmed(line.substr(0, first_tab));
  question.answer = trimmed(line.substr(first_tab + 1, second_tab - first_tab - 1));
  if (question.question.empty() || question.answer.empty() || question.context.empty()) {
    throw Error(fmt::format("{}: a question needs a statement before it, and an answer", place));
  }
  std::string_view support = second_tab == line.npos ? "" : trimmed(line.substr(second_tab + 1));
  while (!support.empty()) {
    const int number = take_number(support);
    const auto found = story.statements().find(number);
    if (found == story.statements().end()) {
      throw Error(fmt::format("{}: support {} is no statement of the story before the question",
                              place, in_quotes(trimmed(line.substr(second_tab + 1)))));
    }
    question.support.push_back(found->second);
    support = trimmed(support);
  }
  return question;
}

}  // namespace

std::vector<Question> parse_babi(std::string_view contents, const std::string& where,
                                 const std::string& name) {
  if (const auto offset = find_invalid_utf8(contents)) {
    throw Error(fmt::format("{}: invalid UTF-8 at byte {}", where, *offset));
  }
  std::vector<Question> questions;
  std::set<std::string> answers;
  Story story;
  int last_number = 0;
  std::size_t line_number = 0;
  for (std::size_t begin = 0; begin < contents.size();) {
    const std::size_t end = std::min(contents.find('\n', begin), contents.size());
    std::string_view line = contents.substr(begin, end - begin);
    begin = end + 1;
    const std::string place = fmt::format("{}: line {}", where, ++line_number);
    if (trimmed(line).empty()) continue;
    const int number = take_number(line);
    if (number != 1 && number != last_number + 1) {
      throw Error(number < 0
                      ? fmt::format("{}: no number at its beginning", place)
                      : fmt::format("{}: number {} follows number {}", place, number, last_number));
    }
    if (number == 1) story = Story();
    last_number = number;
    if (line.find('\t') == line.npos) {
      if (trimmed(line).empty()) throw Error(fmt::format("{}: an empty statement", place));
      story.add(number, trimmed(line));
      continue;
    }
    questions.push_back(parse_question(line, story, place));
    questions.back().name = fmt::format("{}:{}", name, line_number);
    answers.insert(questions.back().answer);
  }
  if (questions.empty()) throw Error(where + ": the file has no questions");
  if (answers.size() < 2) {
    throw Error(fmt::format("{}: every answer is {}; candidates need at least two", where,
                            in_quotes(*answers.begin())));
  }
  for (Question& question : questions) question.candidates.assign(answers.begin(), answers.end());
  return questions;
}

std::vector<Question> read_babi(const std::filesystem::path& path) {
  return parse_babi(read_text_file(path), path.string(), path.filename().string());
}

}  // namespace toplens
