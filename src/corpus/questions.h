#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace toplens {

/// A part of a UTF-8 text, in bytes.
struct TextSpan {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// A question whose answer is one of several candidates and stands in the context.
struct Question {
  std::string name;  ///< "babi.jsonl:17"
  std::string context, question, answer;
  std::vector<std::string> candidates;  ///< at least two, all different, the answer among them
  std::vector<TextSpan> support;        ///< the parts of the context that tell the answer
};

/// The questions of JSON lines: objects with the keys context, question, answer, candidates and,
/// where one likes, support_spans: a list of [begin, end) in characters (Unicode code points) of
/// the context. Any other key is an error. `where` names the file in messages, `name` in the
/// questions' names. Errors name the line.
std::vector<Question> parse_questions(std::string_view contents, const std::string& where,
                                      const std::string& name);
std::vector<Question> read_questions(const std::filesystem::path& path);

/// The same as JSON lines.
std::string questions_jsonl(std::span<const Question> questions);

}  // namespace toplens
