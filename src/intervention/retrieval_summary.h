#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "intervention/retrieval.h"
#include "statistics/bootstrap.h"

namespace toplens {

/// A mean over questions with its 95% bootstrap interval; none for one question.
struct MeanOverQuestions {
  double value = 0;
  std::optional<Interval> interval;
};

/// All questions under one treatment.
struct AnswerSummary {
  std::optional<SizedIntervention> treatment;
  std::size_t correct = 0;
  double accuracy = 0;
  Interval accuracy_interval;  ///< Wilson's, 95%
  MeanOverQuestions loss_nats;
  /// Loss minus that of the untreated model, question by question; none for the untreated model.
  std::optional<MeanOverQuestions> loss_increase_nats;
};

/// How the support is seen, over the questions that have one.
struct SupportMeans {
  MeanOverQuestions mass, displacement, recall;
};

/// How one head sees it.
struct HeadSupport : SupportMeans {
  HeadId head;
};

struct RetrievalSummary {
  std::size_t questions = 0;
  double chance_accuracy = 0;   ///< of a uniform choice among the candidates, mean over questions
  double chance_loss_nats = 0;  ///< mean of the log of the number of candidates
  std::vector<AnswerSummary> answers;
  std::size_t support_questions = 0;
  std::vector<HeadSupport> heads;  ///< layer by layer; empty where no question has support
  /// Of a question the mean over all its heads, then over questions; none without support.
  std::optional<SupportMeans> support;
};

RetrievalSummary summarize(const RetrievalScores& scores, std::span<const QuestionTokens> questions,
                           int num_query_heads, std::uint64_t seed);

}  // namespace toplens
