#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "corpus/question_tokens.h"
#include "corpus/questions.h"
#include "intervention/retrieval_summary.h"

namespace toplens {

/// Everything that `retrieval` found, with what it was found on.
struct RetrievalReport {
  std::string questions_path;
  std::string prompt_template;
  std::string compute;
  std::optional<std::int32_t> bos_id;
  std::uint64_t seed = 0;
  std::vector<Question> questions;
  std::vector<QuestionTokens> tokens;
  RetrievalScores scores;
  RetrievalSummary summary;
};

/// What the user should know about single questions, a line each: candidates that share their first
/// token, support that is excluded, with counts.
std::vector<std::string> retrieval_notes(const RetrievalReport& report);

/// Tables for the terminal.
std::string retrieval_text(const RetrievalReport& report);
/// One JSON object.
std::string retrieval_json(const RetrievalReport& report);
/// One row for each head: support mass, displacement and recall with intervals.
std::string retrieval_heads_csv(const RetrievalReport& report);
/// One row for each question and treatment.
std::string retrieval_answers_csv(const RetrievalReport& report);

}  // namespace toplens
