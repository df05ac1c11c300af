#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "corpus/question_tokens.h"
#include "intervention/experiment.h"
#include "intervention/support_observer.h"
#include "model/session.h"
#include "selection/treatment.h"

namespace toplens {

/// How a model answers one question. A candidate's score is the log-probability of its first
/// continuation token, or the mean over its tokens where candidates share their first one.
struct QuestionScore {
  std::vector<double> candidate_scores;  ///< nats
  std::size_t predicted = 0;             ///< the best candidate, ties to the first
  double loss_nats = 0;  ///< minus the log-share of the answer among exp(score) of all candidates
};

/// One treatment; none: the model as it is.
struct TreatedAnswers {
  std::optional<SizedIntervention> treatment;
  std::vector<QuestionScore> questions;
};

struct RetrievalScores {
  std::vector<TreatedAnswers> answers;  ///< the untreated model first
  /// Of the untreated model, [question][layer * query_heads + query_head]; empty where the question
  /// has no support.
  std::vector<std::vector<SupportMeasures>> support;
};

/// Answers questions as "Retrieval Capacity of Self-Attention Under Competition" (RCSA) scores
/// them.
class RetrievalRun {
 public:
  /// Throws Error where a prompt does not fit the model, a set size is below 1, or a scope is not
  /// in the model. `questions` must outlive the run; `names` name them in messages. `seed` decides
  /// random rankings.
  RetrievalRun(ModelSession& session, std::span<const QuestionTokens> questions,
               std::span<const std::string> names, std::span<const SizedIntervention> treatments,
               std::uint64_t seed);

  std::size_t num_lanes() const { return jobs_.size(); }
  std::size_t num_tokens() const;

  /// `finish_batch` is told how many lanes went through all layers.
  RetrievalScores run(ProgressListener* progress = nullptr,
                      const std::function<void(std::size_t)>& finish_batch = {});

 private:
  /// A lane, and the continuations that its rows predict.
  struct Job {
    std::size_t question = 0;
    std::size_t treatment = 0;  ///< 0: none
    std::vector<std::int32_t> token_ids;
    bool measures_support = false;
    std::vector<std::size_t> candidates;  ///< their first token alone, if more than one
    bool whole_continuation = false;
  };

  void add_jobs(std::size_t question, std::size_t treatment);
  void run_batch(std::size_t first, std::size_t count, ForwardPass& pass, OutputHead& head,
                 ProgressListener* progress, RetrievalScores& scores);
  void score_batch(std::span<const Job> jobs, const HiddenStates& hidden, OutputHead& head,
                   RetrievalScores& scores) const;

  ModelSession& session_;
  std::span<const QuestionTokens> questions_;
  std::vector<SizedIntervention> requested_;
  std::vector<Treatment> treatments_;
  std::vector<Job> jobs_;
};

/// Predicted candidate and loss from the candidates' scores.
void settle(QuestionScore& score, std::size_t answer);

}  // namespace toplens
