#include "corpus/questions.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <toplens/error.h>

#include "base/utf8.h"
#include "corpus/json_lines.h"
#include "io/json_text.h"

namespace toplens {

namespace {

constexpr std::array<const char*, 5> kKeys = {"context", "question", "answer", "candidates",
                                              "support_spans"};

void check_keys(const nlohmann::json& record, const std::string& place) {
  if (!record.is_object()) {
    throw Error(fmt::format("{}: {} found, expected an object", place, described(record)));
  }
  for (const auto& [key, unused] : record.items()) {
    if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end()) {
      throw Error(fmt::format("{}: key {} is not known; the keys are {}", place, in_quotes(key),
                              fmt::join(kKeys, ", ")));
    }
  }
}

const nlohmann::json& member(const nlohmann::json& record, const char* key,
                             const std::string& place) {
  const auto found = record.find(key);
  if (found == record.end()) throw Error(fmt::format("{}: key '{}' is missing", place, key));
  return *found;
}

std::string non_empty_string(const nlohmann::json& value, const std::string& what,
                             const std::string& place) {
  if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
    throw Error(fmt::format("{}: {} is {}, expected a text that is not empty", place, what,
                            described(value)));
  }
  return value.get<std::string>();
}

std::vector<std::string> parse_candidates(const nlohmann::json& list, const std::string& place) {
  if (!list.is_array() || list.size() < 2) {
    throw Error(
        fmt::format("{}: 'candidates' is {}, expected a list of at least two answers", place,
                    list.is_array() ? fmt::format("a list of {}", list.size()) : described(list)));
  }
  std::vector<std::string> candidates;
  for (std::size_t i = 0; i < list.size(); ++i) {
    std::string candidate = non_empty_string(list[i], fmt::format("candidate {}", i), place);
    if (std::find(candidates.begin(), candidates.end(), candidate) != candidates.end()) {
      throw Error(fmt::format("{}: candidate {} is there twice", place, in_quotes(candidate)));
    }
    candidates.push_back(std::move(candidate));
  }
  return candidates;
}

/// Byte offset of each character of a text, and of its end.
std::vector<std::size_t> character_offsets(std::string_view text) {
  std::vector<std::size_t> offsets;
  for (std::size_t at = 0; at < text.size(); at += utf8_length(text[at])) offsets.push_back(at);
  offsets.push_back(text.size());
  return offsets;
}

std::vector<TextSpan> parse_spans(const nlohmann::json& list, std::string_view context,
                                  const std::string& place) {
  if (!list.is_array()) {
    throw Error(fmt::format("{}: 'support_spans' is {}, expected a list of [begin, end]", place,
                            described(list)));
  }
  const std::vector<std::size_t> offsets = character_offsets(context);
  std::vector<TextSpan> spans;
  for (const nlohmann::json& item : list) {
    const bool is_pair = item.is_array() && item.size() == 2 && item[0].is_number_unsigned() &&
                         item[1].is_number_unsigned();
    const std::size_t begin = is_pair ? item[0].get<std::size_t>() : 0;
    const std::size_t end = is_pair ? item[1].get<std::size_t>() : 0;
    if (begin >= end || end >= offsets.size()) {
      throw Error(
          fmt::format("{}: support span {} found, expected [begin, end] with 0 <= begin < "
                      "end <= {}, the characters of the context",
                      place, is_pair ? fmt::format("[{}, {}]", begin, end) : described(item),
                      offsets.size() - 1));
    }
    const TextSpan span = {offsets[begin], offsets[end]};
    if (context.substr(span.begin, span.end - span.begin).find_first_not_of(" \t\r\n") ==
        context.npos) {
      throw Error(fmt::format("{}: support span [{}, {}] is white space alone", place, begin, end));
    }
    spans.push_back(span);
  }
  return spans;
}

Question parse_question(const nlohmann::json& record, const std::string& place) {
  check_keys(record, place);
  Question question;
  const auto text = [&](const char* key) {
    return non_empty_string(member(record, key, place), fmt::format("'{}'", key), place);
  };
  question.context = text("context");
  question.question = text("question");
  question.answer = text("answer");
  question.candidates = parse_candidates(member(record, "candidates", place), place);
  if (std::find(question.candidates.begin(), question.candidates.end(), question.answer) ==
      question.candidates.end()) {
    throw Error(fmt::format("{}: the answer {} is not among the candidates", place,
                            in_quotes(question.answer)));
  }
  if (const auto spans = record.find("support_spans"); spans != record.end()) {
    question.support = parse_spans(*spans, question.context, place);
  }
  return question;
}

JsonLineReader collect_into(std::vector<Question>& questions, const std::string& name) {
  return [&questions, name](std::string_view line, std::size_t number, const std::string& place) {
    questions.push_back(parse_question(parse_json(line, place), place));
    questions.back().name = fmt::format("{}:{}", name, number);
  };
}

void check_not_empty(const std::vector<Question>& questions, const std::string& where) {
  if (questions.empty()) throw Error(where + ": the file has no questions");
}

std::size_t character_at(std::string_view text, std::size_t byte) {
  return character_offsets(text.substr(0, byte)).size() - 1;
}

}  // namespace

std::vector<Question> parse_questions(std::string_view contents, const std::string& where,
                                      const std::string& name) {
  std::vector<Question> questions;
  for_each_json_line(contents, where, kMaxJsonLineBytes, collect_into(questions, name));
  check_not_empty(questions, where);
  return questions;
}

std::vector<Question> read_questions(const std::filesystem::path& path) {
  std::vector<Question> questions;
  for_each_json_line(path, kMaxJsonLineBytes, collect_into(questions, path.filename().string()));
  check_not_empty(questions, path.string());
  return questions;
}

std::string questions_jsonl(std::span<const Question> questions) {
  std::string text;
  for (const Question& question : questions) {
    nlohmann::ordered_json record;
    record["context"] = question.context;
    record["question"] = question.question;
    record["answer"] = question.answer;
    record["candidates"] = question.candidates;
    if (!question.support.empty()) {
      auto& spans = record["support_spans"] = nlohmann::ordered_json::array();
      for (const TextSpan& span : question.support) {
        spans.push_back(
            {character_at(question.context, span.begin), character_at(question.context, span.end)});
      }
    }
    text += record.dump() + "\n";
  }
  return text;
}

}  // namespace toplens
