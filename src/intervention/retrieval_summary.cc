#include "intervention/retrieval_summary.h"

#include <cmath>

#include "statistics/moments.h"
#include "statistics/wilson.h"

namespace toplens {
namespace {

constexpr std::size_t kResamples = 2000;
constexpr double kLevel = 0.95;

AnswerSummary summarize(const TreatedAnswers& answers, const TreatedAnswers& untreated,
                        std::span<const QuestionTokens> questions, BootstrapMeans& bootstrap) {
  AnswerSummary summary;
  summary.treatment = answers.treatment;
  std::vector<double> losses, increases;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    const QuestionScore& score = answers.questions[i];
    if (score.predicted == questions[i].answer) ++summary.correct;
    losses.push_back(score.loss_nats);
    increases.push_back(score.loss_nats - untreated.questions[i].loss_nats);
  }
  summary.accuracy = static_cast<double>(summary.correct) / static_cast<double>(questions.size());
  summary.accuracy_interval = wilson_interval(summary.correct, questions.size(), kLevel);
  summary.loss_nats = {mean(losses), bootstrap.interval(losses)};
  if (answers.treatment) {
    summary.loss_increase_nats = {mean(increases), bootstrap.interval(increases)};
  }
  return summary;
}

}  // namespace

RetrievalSummary summarize(const RetrievalScores& scores, std::span<const QuestionTokens> questions,
                           int num_query_heads, std::uint64_t seed) {
  RetrievalSummary summary;
  summary.questions = questions.size();
  for (const QuestionTokens& question : questions) {
    const auto candidates = static_cast<double>(question.continuations.size());
    summary.chance_accuracy += 1 / candidates / static_cast<double>(questions.size());
    summary.chance_loss_nats += std::log(candidates) / static_cast<double>(questions.size());
  }
  BootstrapMeans all(questions.size(), kResamples, kLevel, seed);
  for (const TreatedAnswers& answers : scores.answers) {
    summary.answers.push_back(summarize(answers, scores.answers.front(), questions, all));
  }
  std::vector<const std::vector<SupportMeasures>*> measured;
  for (const auto& support : scores.support) {
    if (!support.empty()) measured.push_back(&support);
  }
  summary.support_questions = measured.size();
  if (measured.empty()) return summary;
  BootstrapMeans bootstrap(measured.size(), kResamples, kLevel, seed);
  // Of each question the mean over heads [first, end), then over questions.
  const auto means_of = [&](std::size_t first, std::size_t end) {
    const auto mean_of = [&](double SupportMeasures::*measure) -> MeanOverQuestions {
      std::vector<double> values;
      for (const auto* support : measured) {
        double sum = 0;
        for (std::size_t head = first; head < end; ++head) sum += (*support)[head].*measure;
        values.push_back(sum / static_cast<double>(end - first));
      }
      return {mean(values), bootstrap.interval(values)};
    };
    return SupportMeans{mean_of(&SupportMeasures::mass), mean_of(&SupportMeasures::displacement),
                        mean_of(&SupportMeasures::recall)};
  };
  const auto heads = static_cast<std::size_t>(num_query_heads);
  for (std::size_t head = 0; head < measured.front()->size(); ++head) {
    HeadSupport& support = summary.heads.emplace_back();
    static_cast<SupportMeans&>(support) = means_of(head, head + 1);
    support.head = {static_cast<int>(head / heads), static_cast<int>(head % heads)};
  }
  summary.support = means_of(0, measured.front()->size());
  return summary;
}

}  // namespace toplens
