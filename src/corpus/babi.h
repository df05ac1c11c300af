#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/questions.h"

namespace toplens {

/// The questions of a text in the form of the bAbI tasks (Weston et al. 2015, arXiv:1502.05698):
/// numbered lines, the numbers starting again with each story; a question line goes on with the
/// answer and the numbers of its supporting lines, between tabs. A question's context are the
/// story's statements before it, one space between them, its candidates all answers of the file in
/// alphabetical order. `where` names the file in messages, `name` in the questions' names. Errors
/// name the line.
std::vector<Question> parse_babi(std::string_view contents, const std::string& where,
                                 const std::string& name);
std::vector<Question> read_babi(const std::filesystem::path& path);

}  // namespace toplens
