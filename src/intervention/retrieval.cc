#include "intervention/retrieval.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>
#include <toplens/error.h>

namespace toplens {
namespace {

std::vector<std::int32_t> joined(const std::vector<std::int32_t>& prompt,
                                 const std::vector<std::int32_t>& continuation) {
  std::vector<std::int32_t> ids = prompt;
  ids.insert(ids.end(), continuation.begin(), continuation.end() - 1);  // the last predicts nothing
  return ids;
}

/// A few rows of the residual streams with the tokens that they predict.
struct ScoredRows {
  const float* first_row = nullptr;  // of the rows one after the other
  std::vector<std::int32_t> targets;
};

/// Mean log-probability of each group's targets.
std::vector<double> mean_log_probabilities(std::span<const ScoredRows> groups,
                                           std::size_t hidden_size, OutputHead& head) {
  // As lanes: a lane's first token is predicted by nothing, its last row predicts nothing.
  std::vector<std::vector<std::int32_t>> ids;
  for (const ScoredRows& group : groups) {
    ids.push_back({group.targets.front()});
    ids.back().insert(ids.back().end(), group.targets.begin(), group.targets.end());
  }
  std::vector<Lane> lanes;
  for (const auto& lane_ids : ids) lanes.push_back({.token_ids = lane_ids});
  HiddenStates rows(lanes, hidden_size);
  for (std::size_t group = 0; group < groups.size(); ++group) {
    const std::size_t count = groups[group].targets.size();
    float* to = rows.lane(group).data();
    std::copy_n(groups[group].first_row, count * hidden_size, to);
    std::copy_n(groups[group].first_row, hidden_size, to + count * hidden_size);
  }
  std::vector<double> means;
  for (const std::vector<double>& nll : head.token_nll(rows, lanes)) {
    double sum = 0;
    for (const double value : nll) sum += value;
    means.push_back(-sum / static_cast<double>(nll.size()));
  }
  return means;
}

}  // namespace

void settle(QuestionScore& score, std::size_t answer) {
  const std::vector<double>& scores = score.candidate_scores;
  const auto best = std::max_element(scores.begin(), scores.end());
  score.predicted = static_cast<std::size_t>(best - scores.begin());
  double sum = 0;
  for (const double value : scores) sum += std::exp(value - *best);
  score.loss_nats = *best + std::log(sum) - scores[answer];
}

RetrievalRun::RetrievalRun(ModelSession& session, std::span<const QuestionTokens> questions,
                           std::span<const std::string> names,
                           std::span<const SizedIntervention> treatments, std::uint64_t seed)
    : session_(session), questions_(questions), requested_(treatments.begin(), treatments.end()) {
  const ModelConfig& config = session.config();
  for (const SizedIntervention& wanted : treatments) {
    treatments_.push_back(make_treatment(wanted, config, seed));
  }
  for (std::size_t question = 0; question < questions.size(); ++question) {
    for (std::size_t treatment = 0; treatment <= treatments_.size(); ++treatment) {
      add_jobs(question, treatment);
    }
  }
  for (const Job& job : jobs_) {
    if (job.token_ids.size() > static_cast<std::size_t>(config.max_position_embeddings)) {
      throw Error(
          fmt::format("{}: prompt and answer have {} tokens, but the model's "
                      "max_position_embeddings is {}",
                      names[job.question], job.token_ids.size(), config.max_position_embeddings));
    }
  }
}

void RetrievalRun::add_jobs(std::size_t question, std::size_t treatment) {
  const QuestionTokens& tokens = questions_[question];
  const bool by_first_token = tokens.shared_first_token.empty();
  Job prompt = {question, treatment, tokens.prompt, treatment == 0 && !tokens.support.empty(),
                {},       false};
  if (by_first_token) {
    for (std::size_t c = 0; c < tokens.continuations.size(); ++c) prompt.candidates.push_back(c);
  }
  if (by_first_token || prompt.measures_support) jobs_.push_back(std::move(prompt));
  if (by_first_token) return;
  for (std::size_t c = 0; c < tokens.continuations.size(); ++c) {
    jobs_.push_back(
        {question, treatment, joined(tokens.prompt, tokens.continuations[c]), false, {c}, true});
  }
}

std::size_t RetrievalRun::num_tokens() const {
  std::size_t tokens = 0;
  for (const Job& job : jobs_) tokens += job.token_ids.size();
  return tokens;
}

RetrievalScores RetrievalRun::run(ProgressListener* progress,
                                  const std::function<void(std::size_t)>& finish_batch) {
  RetrievalScores scores;
  scores.support.resize(questions_.size());
  scores.answers.resize(treatments_.size() + 1);
  for (std::size_t treatment = 0; treatment < scores.answers.size(); ++treatment) {
    TreatedAnswers& answers = scores.answers[treatment];
    if (treatment > 0) answers.treatment = requested_[treatment - 1];
    for (const QuestionTokens& tokens : questions_) {
      answers.questions.emplace_back().candidate_scores.resize(tokens.continuations.size());
    }
  }
  const ModelConfig& config = session_.config();
  std::vector<std::size_t> lengths;
  for (const Job& job : jobs_) lengths.push_back(job.token_ids.size());
  EngineDemand demand;
  demand.lanes_wanted = 16;
  SupportObserver observer({});
  const std::array<AttentionObserver*, 1> observers = {&observer};
  demand.kept_queries =
      kept_queries(observers, static_cast<int>(*std::max_element(lengths.begin(), lengths.end())));
  demand.observer_bytes_per_lane = static_cast<std::uint64_t>(config.num_layers) *
                                   static_cast<std::uint64_t>(config.num_query_heads) *
                                   sizeof(SupportMeasures);
  const EnginePlan plan = session_.plan(lengths, demand);
  ForwardPass pass(session_.model(), session_.pool(), plan);
  OutputHead head(session_.model(), session_.pool(), plan);
  const auto batch = static_cast<std::size_t>(plan.lanes_per_batch);
  for (std::size_t first = 0; first < jobs_.size(); first += batch) {
    const std::size_t count = std::min(batch, jobs_.size() - first);
    run_batch(first, count, pass, head, progress, scores);
    if (finish_batch) finish_batch(count);
  }
  for (TreatedAnswers& answers : scores.answers) {
    for (std::size_t question = 0; question < questions_.size(); ++question) {
      settle(answers.questions[question], questions_[question].answer);
    }
  }
  return scores;
}

void RetrievalRun::run_batch(std::size_t first, std::size_t count, ForwardPass& pass,
                             OutputHead& head, ProgressListener* progress,
                             RetrievalScores& scores) {
  const std::span<const Job> jobs = std::span(jobs_).subspan(first, count);
  std::vector<Lane> lanes;
  std::vector<SupportTokens> support;
  for (const Job& job : jobs) {
    Lane lane;
    lane.token_ids = job.token_ids;
    lane.document = job.question;
    if (job.treatment > 0) lane.treatment = &treatments_[job.treatment - 1];
    lanes.push_back(lane);
    support.emplace_back();
    const QuestionTokens& question = questions_[job.question];
    if (job.measures_support) {
      support.back() = {question.support, question.context_first, question.context_end};
    }
  }
  SupportObserver observer(std::move(support));
  const std::array<AttentionObserver*, 1> observers = {&observer};
  const HiddenStates hidden = pass.run(lanes, observers, progress);
  for (std::size_t lane = 0; lane < count; ++lane) {
    if (jobs[lane].measures_support) scores.support[jobs[lane].question] = observer.take(lane);
  }
  score_batch(jobs, hidden, head, scores);
}

void RetrievalRun::score_batch(std::span<const Job> jobs, const HiddenStates& hidden,
                               OutputHead& head, RetrievalScores& scores) const {
  std::vector<ScoredRows> groups;
  std::vector<double*> destinations;
  for (std::size_t lane = 0; lane < jobs.size(); ++lane) {
    const Job& job = jobs[lane];
    const QuestionTokens& tokens = questions_[job.question];
    const MatrixView<const float> rows = hidden.lane(lane);
    for (const std::size_t c : job.candidates) {
      ScoredRows group = {rows.row(tokens.prompt.size() - 1).data(), tokens.continuations[c]};
      if (!job.whole_continuation) group.targets.resize(1);
      groups.push_back(std::move(group));
      destinations.push_back(
          &scores.answers[job.treatment].questions[job.question].candidate_scores[c]);
    }
  }
  if (groups.empty()) return;
  const auto hidden_size = static_cast<std::size_t>(session_.config().hidden_size);
  const std::vector<double> means = mean_log_probabilities(groups, hidden_size, head);
  for (std::size_t i = 0; i < means.size(); ++i) *destinations[i] = means[i];
}

}  // namespace toplens
