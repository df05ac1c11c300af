#include "intervention/retrieval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/random.h"
#include "intervention/retrieval_summary.h"
#include "support/engine_run.h"
#include "support/error_message.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

using testing::error_message;
using ::testing::HasSubstr;
using testing::TokenIds;

constexpr std::uint64_t kMemory = std::uint64_t{4} << 30;

/// As the definition says: recall by sorting the visible tokens, displacement over all pairs.
SupportMeasures by_definition(std::span<const float> weights, std::size_t first_visible,
                              const SupportTokens& tokens, std::size_t recall_size) {
  std::vector<float> seen(weights.begin(), weights.end());
  std::fill_n(seen.begin(), first_visible, 0.0f);
  std::vector<std::size_t> order(weights.size() - first_visible);
  std::iota(order.begin(), order.end(), first_visible);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return seen[a] > seen[b]; });
  order.resize(std::min(order.size(), recall_size));
  const auto among = [](std::span<const std::size_t> set, std::size_t token) {
    return std::find(set.begin(), set.end(), token) != set.end();
  };
  SupportMeasures measures;
  const auto count = static_cast<double>(tokens.support.size());
  for (const std::size_t i : tokens.support) {
    measures.mass += double{seen[i]};
    measures.recall += among(order, i) ? 1 / count : 0;
    for (std::size_t j = tokens.context_first; j < tokens.context_end; ++j) {
      measures.displacement += !among(tokens.support, j) && seen[j] >= seen[i] ? 1 / count : 0;
    }
  }
  return measures;
}

void expect_equal(const SupportMeasures& found, const SupportMeasures& expected) {
  EXPECT_NEAR(found.mass, expected.mass, 1e-6);
  EXPECT_NEAR(found.displacement, expected.displacement, 1e-9);
  EXPECT_NEAR(found.recall, expected.recall, 1e-12);
}

TEST(MeasureSupport, ByHand) {
  // Ranking: 2 (0.4), 0 (0.2), 3 (0.2), 4 (0.15), 1 (0.05); token 4 is the question's.
  const std::vector<float> weights = {0.2f, 0.05f, 0.4f, 0.2f, 0.15f};
  const std::vector<std::size_t> support = {1, 3};
  const SupportMeasures measures = measure_support(weights, 0, {support, 0, 4}, 3);
  EXPECT_NEAR(measures.mass, 0.25, 1e-7);
  // 2 and 0, an equal, are not below 3 nor 1; token 4 does not count, being outside the context.
  EXPECT_EQ(measures.displacement, (2 + 2) / 2.0);
  EXPECT_EQ(measures.recall, 0.5);
  // Tokens 0 and 1 outside the window: token 0's weight of 0 is not below token 1's.
  const SupportMeasures windowed = measure_support(weights, 2, {support, 0, 4}, 3);
  EXPECT_NEAR(windowed.mass, 0.2, 1e-7);
  EXPECT_EQ(windowed.displacement, (1 + 2) / 2.0);
  EXPECT_EQ(windowed.recall, 0.5);
}

TEST(MeasureSupport, EqualsItsDefinition) {
  Random random(3);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<float> weights(1 + random.below(100));
    for (float& weight : weights) weight = static_cast<float>(random.below(8)) / 8.0f;  // ties
    std::vector<std::size_t> support;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (random.below(4) == 0) support.push_back(i);
    }
    if (support.empty()) support.push_back(0);
    const std::size_t first = random.below(weights.size());
    const SupportTokens tokens{support, first, first + random.below(weights.size() - first + 1)};
    const std::size_t first_visible = random.below(weights.size());
    const std::size_t size = 1 + random.below(70);
    SCOPED_TRACE(trial);
    expect_equal(measure_support(weights, first_visible, tokens, size),
                 by_definition(weights, first_visible, tokens, size));
  }
}

TEST(Settle, LossIsNormalisedOverTheCandidates) {
  QuestionScore score;
  score.candidate_scores = {std::log(0.02), std::log(0.06), std::log(0.06)};
  settle(score, 0);
  EXPECT_NEAR(score.loss_nats, -std::log(0.02 / 0.14), 1e-12);
  EXPECT_EQ(score.predicted, 1u);
  settle(score, 2);
  EXPECT_NEAR(score.loss_nats, -std::log(0.06 / 0.14), 1e-12);
}

/// Two questions on a golden model's tokens: the second has candidates that share their first one.
std::vector<QuestionTokens> golden_questions(const TokenIds& ids) {
  QuestionTokens first;
  first.prompt.assign(ids.begin(), ids.begin() + 90);
  first.continuations = {{5}, {7, 9}, {11}};
  first.answer = 2;
  first.support = {3, 4, 5, 40, 86};
  first.context_first = 2;
  first.context_end = 88;
  QuestionTokens second = first;
  second.prompt.assign(ids.begin() + 2, ids.begin() + 60);
  second.continuations = {{5, 6}, {5, 8, 9}, {7}};
  second.answer = 0;
  second.shared_first_token = {0, 1};
  second.support = {57};
  second.context_first = 0;
  second.context_end = 58;
  QuestionTokens third = first;
  third.prompt.resize(20);
  third.support.clear();
  return {first, second, third};
}

/// Mean log-probability of the continuation's tokens behind the prompt, by a run over both.
double reference_score(const CheckpointModel& model, const TokenIds& prompt,
                       std::span<const std::int32_t> continuation) {
  TokenIds whole = prompt;
  whole.insert(whole.end(), continuation.begin(), continuation.end());
  const std::vector<TokenIds> documents = {whole};
  const std::vector<double> nll =
      testing::run_engine(model, documents, ComputeType::f32, {}).nll[0];
  return -std::accumulate(nll.end() - static_cast<std::ptrdiff_t>(continuation.size()), nll.end(),
                          0.0) /
         static_cast<double>(continuation.size());
}

TEST(Retrieval, GoldenModelsAgainstPlainReferences) {
  for (const auto& directory : testing::golden_models()) {
    SCOPED_TRACE(directory);
    ModelSession session(directory, 2, kMemory, ComputeMode::f32);
    const std::vector<QuestionTokens> questions =
        golden_questions(testing::golden_tokens(directory));
    const std::vector<std::string> names = {"q:1", "q:2", "q:3"};
    RetrievalRun run(session, questions, names, {}, 1);
    const RetrievalScores scores = run.run();
    ASSERT_EQ(scores.answers.size(), 1u);
    for (std::size_t q = 0; q < questions.size(); ++q) {
      SCOPED_TRACE(q);
      const QuestionTokens& tokens = questions[q];
      for (std::size_t c = 0; c < tokens.continuations.size(); ++c) {
        std::span<const std::int32_t> scored = tokens.continuations[c];
        if (tokens.shared_first_token.empty()) scored = scored.first(1);
        EXPECT_NEAR(scores.answers[0].questions[q].candidate_scores[c],
                    reference_score(session.model(), tokens.prompt, scored), 1e-5);
      }
      if (tokens.support.empty()) {
        EXPECT_TRUE(scores.support[q].empty());
        continue;
      }
      testing::RecordingObserver recorded(QuerySelection::last());
      const std::vector<TokenIds> documents = {tokens.prompt};
      const std::vector<AttentionObserver*> observers = {&recorded};
      testing::run_engine(session.model(), documents, ComputeType::f32, {}, observers);
      const auto heads = static_cast<std::size_t>(session.config().num_query_heads);
      ASSERT_EQ(scores.support[q].size(), recorded.seen().size());
      for (const testing::SeenHead& seen : recorded.seen()) {
        const HeadId head = seen.view.head;
        const std::size_t length = tokens.prompt.size();
        const std::span<const float> row = std::span(seen.attention).last(length);
        const auto visible =
            static_cast<std::size_t>(seen.view.first_visible(static_cast<int>(length) - 1));
        expect_equal(
            scores.support[q][static_cast<std::size_t>(head.layer) * heads +
                              static_cast<std::size_t>(head.query_head)],
            by_definition(row, visible, {tokens.support, tokens.context_first, tokens.context_end},
                          kSupportRecallSize));
      }
    }
  }
}

TEST(Retrieval, TreatedLanesAnswerAsTheEngineTreatsThem) {
  const auto directory = testing::golden_directory() / "tiny-llama3-gqa";
  ModelSession session(directory, 1, kMemory, ComputeMode::f32);
  const std::vector<QuestionTokens> questions = golden_questions(testing::golden_tokens(directory));
  const std::vector<std::string> names = {"q:1", "q:2", "q:3"};
  const std::vector<SizedIntervention> treatments = {
      {{Ranking::attention, RemovalRule::remove, Scope::model()}, 3},
      {{Ranking::random, RemovalRule::renormalize, Scope::layer(1)}, 3},
      {{Ranking::attention, RemovalRule::remove, Scope::model()}, 1000}};
  const RetrievalScores scores = RetrievalRun(session, questions, names, treatments, 1).run();
  ASSERT_EQ(scores.answers.size(), 4u);
  for (std::size_t q = 0; q < questions.size(); ++q) {
    // N above the context: bit for bit the untreated answers.
    EXPECT_EQ(scores.answers[3].questions[q].candidate_scores,
              scores.answers[0].questions[q].candidate_scores);
    EXPECT_NE(scores.answers[1].questions[q].loss_nats, scores.answers[0].questions[q].loss_nats);
  }
  // A lane under the same treatment through the engine itself, of the second question's first
  // candidate.
  TokenIds whole = questions[1].prompt;
  whole.insert(whole.end(), questions[1].continuations[0].begin(),
               questions[1].continuations[0].end());
  for (std::size_t t = 0; t < 2; ++t) {
    const ModelConfig& config = session.config();
    Treatment treatment(treatments[t].intervention.ranking, treatments[t].intervention.rule,
                        config.num_layers, config.num_query_heads, 1);
    set_size_in(treatments[t].intervention.scope, treatments[t].set_size, treatment);
    Lane lane;
    lane.token_ids = whole;
    lane.treatment = &treatment;
    lane.document = 1;
    const std::vector<std::size_t> lengths = {whole.size()};
    const EnginePlan plan = session.plan(lengths, {});
    const std::vector<Lane> lanes = {lane};
    const HiddenStates hidden = ForwardPass(session.model(), session.pool(), plan).run(lanes, {});
    const std::vector<double> nll =
        OutputHead(session.model(), session.pool(), plan).token_nll(hidden, lanes)[0];
    EXPECT_NEAR(scores.answers[t + 1].questions[1].candidate_scores[0],
                -(nll[nll.size() - 2] + nll.back()) / 2, 1e-5);
  }
}

TEST(Retrieval, SaysWhatDoesNotFit) {
  const auto directory = testing::golden_directory() / "tiny-llama";
  ModelSession session(directory, 1, kMemory, ComputeMode::f32);
  std::vector<QuestionTokens> questions = golden_questions(testing::golden_tokens(directory));
  const std::vector<std::string> names = {"q:1", "q:2", "q:3"};
  const auto message = [&](const std::vector<SizedIntervention>& treatments) {
    return error_message([&] { RetrievalRun(session, questions, names, treatments, 1); });
  };
  EXPECT_THAT(message({{{Ranking::attention, RemovalRule::remove, Scope::model()}, 0}}),
              HasSubstr("set size 0: at least one"));
  EXPECT_NE(message({{{Ranking::attention, RemovalRule::remove, Scope::one_head({9, 0})}, 1}}), "");
  const auto longest = static_cast<std::size_t>(session.config().max_position_embeddings);
  questions[1].prompt.resize(longest, 1);
  EXPECT_EQ(message({}), "q:2: prompt and answer have " + std::to_string(longest + 1) +
                             " tokens, but the model's max_position_embeddings is " +
                             std::to_string(longest));
}

TEST(RetrievalSummary, CountsAndMeans) {
  std::vector<QuestionTokens> questions(4);
  RetrievalScores scores;
  scores.answers.resize(1);
  scores.support.resize(4);
  for (std::size_t q = 0; q < 4; ++q) {
    questions[q].continuations.resize(q < 2 ? 2 : 4);
    questions[q].answer = 1;
    QuestionScore& score = scores.answers[0].questions.emplace_back();
    score.predicted = q == 0 ? 1 : 0;
    score.loss_nats = static_cast<double>(q);
  }
  scores.support[1] = {{0.5, 10, 0.25}, {0.1, 4, 1}};
  scores.support[3] = {{0.25, 30, 0.75}, {0.3, 6, 0}};
  const RetrievalSummary summary = summarize(scores, questions, 2, 1);
  EXPECT_EQ(summary.answers[0].correct, 1u);
  EXPECT_EQ(summary.answers[0].accuracy, 0.25);
  EXPECT_EQ(summary.answers[0].loss_nats.value, 1.5);
  EXPECT_FALSE(summary.answers[0].loss_increase_nats.has_value());
  EXPECT_NEAR(summary.chance_accuracy, 0.375, 1e-12);
  EXPECT_NEAR(summary.chance_loss_nats, std::log(2.0) / 2 + std::log(4.0) / 2, 1e-12);
  EXPECT_EQ(summary.support_questions, 2u);
  ASSERT_EQ(summary.heads.size(), 2u);
  EXPECT_EQ(summary.heads[0].mass.value, 0.375);
  EXPECT_EQ(summary.heads[0].displacement.value, 20);
  EXPECT_EQ(summary.heads[1].recall.value, 0.5);
  EXPECT_EQ(summary.heads[1].head.query_head, 1);
  ASSERT_TRUE(summary.heads[0].mass.interval.has_value());
  EXPECT_EQ(summary.heads[0].mass.interval->low, 0.25);
  EXPECT_EQ(summary.heads[0].mass.interval->high, 0.5);
  // Heads first, then questions.
  ASSERT_TRUE(summary.support.has_value());
  EXPECT_NEAR(summary.support->mass.value, (0.6 / 2 + 0.55 / 2) / 2, 1e-12);
  EXPECT_EQ(summary.support->displacement.value, (14.0 / 2 + 36.0 / 2) / 2);
  EXPECT_NEAR(summary.support->mass.interval->low, 0.275, 1e-12);
  EXPECT_NEAR(summary.support->mass.interval->high, 0.3, 1e-12);
}

}  // namespace
}  // namespace toplens
