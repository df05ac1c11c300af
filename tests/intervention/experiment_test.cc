// Waves, shared evaluations and intervals on a small model.

#include "intervention/experiment.h"

#include <gtest/gtest.h>

#include "intervention/budget.h"
#include "intervention/loss_change.h"
#include "intervention/loss_protocol.h"
#include "io/atomic_file.h"
#include "support/engine_run.h"
#include "support/error_message.h"
#include "support/shared_data.h"
#include "tokenizer/tokenizer.h"

namespace toplens {
namespace {

std::vector<ScoredWindow> windows(const CheckpointModel& model, std::size_t count,
                                  std::size_t length) {
  const std::vector<std::size_t> lengths(count, length);
  std::vector<ScoredWindow> result;
  for (auto& ids : testing::random_documents(lengths, model.config().vocab_size, 9)) {
    result.push_back({std::move(ids), 1, result.size()});
  }
  return result;
}

class CountingListener : public WaveListener {
 public:
  int waves = 0;
  void start(std::uint64_t, double) override { ++waves; }
  void advance(std::uint64_t, std::uint64_t) override {}
};

struct SmallModel {
  ModelSession session{testing::golden_directory() / "tiny-llama3-gqa", 2, std::uint64_t{1} << 30,
                       ComputeMode::f32};
  TreatedLoss loss{session, windows(session.model(), 4, 24)};
  Experiment experiment{loss, 2027};
};

const Intervention kAttention = {Ranking::attention, RemovalRule::remove, Scope::model()};
const Intervention kRandom = {Ranking::random, RemovalRule::renormalize, Scope::model()};

/// The demo model, which is trained, on the beginning of its text.
struct DemoModel {
  ModelSession session{testing::source_directory() / "demo" / "model", 2, std::uint64_t{1} << 30,
                       ComputeMode::f32};
  TreatedLoss loss{session, text_windows()};
  Experiment experiment{loss, 2027};

  std::vector<ScoredWindow> text_windows() const {
    const std::string text =
        read_text_file(testing::source_directory() / "demo" / "text" / "held_out.txt");
    const auto ids = load_tokenizer(session.model().directory())
                         .tokenizer->encode(std::string_view(text).substr(1000, 1000));
    std::vector<ScoredWindow> windows;
    for (std::size_t first = 0; first + 24 <= ids.size() && windows.size() < 6; first += 24) {
      const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(first);
      windows.push_back({{begin, begin + 24}, 1, windows.size()});
    }
    return windows;
  }
};

TEST(Experiment, SearchesAreThoseOfTheMeasuredCurve) {
  DemoModel setup;
  const Intervention both[] = {kAttention, kRandom};
  const double tolerances[] = {0.01, 0.05, 0.10};
  CountingListener listener;
  const std::vector<NeededSize> needed =
      setup.experiment.find_needed_sizes(both, tolerances, &listener);
  ASSERT_EQ(needed.size(), 6u);
  EXPECT_GE(listener.waves, 2);
  // The first wave holds all powers, later ones a size of each search at most.
  EXPECT_LE(listener.waves, 8);
  // A random choice needs more tokens, at every tolerance.
  for (std::size_t i = 0; i < 3; ++i) EXPECT_LT(needed[i].set_size, needed[3 + i].set_size);
  std::vector<SizedIntervention> all;
  for (int size = 1; size < 24; ++size) {
    all.push_back({kAttention, size});
    all.push_back({kRandom, size});
  }
  setup.experiment.evaluate(all);
  for (const NeededSize& one : needed) {
    LossChanges changes;
    for (int size = 1; size < 24; ++size) {
      changes[size] = setup.experiment.change(one.intervention, size);
    }
    const ToleranceSearch expected = search_tolerance(changes, 24, one.tolerance);
    EXPECT_EQ(one.set_size, expected.set_size);
    EXPECT_EQ(one.visited, expected.visited);
  }
}

TEST(Experiment, ReusesWhatWasEvaluatedOrRestored) {
  SmallModel setup;
  const SizedIntervention wanted[] = {{kAttention, 2}, {kAttention, 2}, {kRandom, 3}};
  setup.experiment.evaluate(wanted);
  const std::uint64_t computed = setup.loss.layer_lane_forwards();
  setup.experiment.evaluate(wanted);
  EXPECT_EQ(setup.loss.layer_lane_forwards(), computed);

  SmallModel resumed;
  resumed.experiment.restore_untreated(setup.experiment.untreated());
  for (const SizedIntervention& one : wanted) {
    resumed.experiment.restore(one, setup.experiment.losses(one.intervention, one.set_size), 0);
  }
  resumed.experiment.evaluate(wanted);
  EXPECT_EQ(resumed.loss.layer_lane_forwards(), 0u);
  EXPECT_EQ(resumed.experiment.change(kAttention, 2), setup.experiment.change(kAttention, 2));
}

TEST(Experiment, RefusesWhatIsNoIntervention) {
  SmallModel setup;
  const auto message = [&](const Intervention& intervention, int size) {
    const SizedIntervention one = {intervention, size};
    return testing::error_message([&] { setup.experiment.evaluate({&one, 1}); });
  };
  EXPECT_NE(message(kAttention, 0).find("at least one token"), std::string::npos);
  Intervention outside = kAttention;
  outside.scope = Scope::one_head({0, 99});
  EXPECT_NE(message(outside, 1).find("head:0.99"), std::string::npos);
  outside.scope = Scope::layer(99);
  EXPECT_NE(message(outside, 1).find("layer:99"), std::string::npos);
  const double zero[] = {0.0};
  EXPECT_NE(testing::error_message([&] {
              setup.experiment.find_needed_sizes({&kAttention, 1}, zero);
            }).find("above 0"),
            std::string::npos);
}

TEST(LossBootstrap, KeepsDocumentsTogether) {
  const LossBootstrap bootstrap(3, 1);
  const std::vector<double> untreated = {1.0, 2.0, 4.0}, treated = {1.1, 2.2, 4.4};
  EXPECT_NEAR(relative_change(treated, untreated), 0.1, 1e-12);
  // Every document changes by the same share: so does every resample.
  const auto interval = bootstrap.change_interval(treated, untreated);
  ASSERT_TRUE(interval.has_value());
  EXPECT_NEAR(interval->low, 0.1, 1e-12);
  EXPECT_NEAR(interval->high, 0.1, 1e-12);
  const std::vector<double> uneven = {1.5, 2.0, 4.0};
  const auto wide = bootstrap.change_interval(uneven, untreated);
  EXPECT_EQ(wide->low, 0.0);
  EXPECT_NEAR(wide->high, 0.5, 1e-12);
  const std::map<int, std::span<const double>> evaluated = {{4, uneven}, {8, untreated}};
  const auto needed = bootstrap.needed_size_interval(evaluated, untreated, 16, 0.05);
  EXPECT_EQ(needed->low, 4);
  EXPECT_EQ(needed->high, 8);
  EXPECT_FALSE(LossBootstrap(1, 1).change_interval({{1.0}}, {{1.0}}).has_value());
}

TEST(LossProtocol, MatchedWindowsScoreTheSameTargets) {
  TokenWindow window;
  window.has_bos = true;
  window.token_ids = {1, 10, 11, 12, 13, 14, 15, 16};
  LossProtocol protocol;
  protocol.context_lengths = {4, 8};
  protocol.score_tail = 3;
  protocol.has_bos = true;
  check(protocol);
  const auto shorter = scored_windows({&window, 1}, protocol, 4);
  EXPECT_EQ(shorter[0].token_ids, (std::vector<std::int32_t>{1, 14, 15, 16}));
  EXPECT_EQ(shorter[0].first_target, 1u);
  const auto longest = scored_windows({&window, 1}, protocol, 8);
  EXPECT_EQ(longest[0].token_ids, window.token_ids);
  EXPECT_EQ(longest[0].first_target, 5u);
  window.has_bos = false;
  EXPECT_EQ(scored_windows({&window, 1}, protocol, 4)[0].token_ids,
            (std::vector<std::int32_t>{13, 14, 15, 16}));
  protocol.score_tail = 4;
  EXPECT_NE(testing::error_message([&] { check(protocol); }).find("do not fit"), std::string::npos);
}

TEST(Budget, IsWithinTheToleranceWhereItWasChosenAndVerifiedElsewhere) {
  ModelSession session(testing::golden_directory() / "tiny-llama3-gqa", 2, std::uint64_t{1} << 30,
                       ComputeMode::f32);
  std::vector<ScoredWindow> all = windows(session.model(), 6, 24);
  const std::vector<ScoredWindow> first(all.begin(), all.begin() + 3);
  TreatedLoss calibration(session, first);
  TreatedLoss verification(session, {all.begin() + 3, all.end()});
  Experiment experiment(calibration, 2027);
  BudgetRequest request;
  request.tolerance = 0.002;
  request.allocations = {AllocationRule::uniform, AllocationRule::geometric,
                         AllocationRule::sensitivity};
  request.curve_sizes = powers_below(24);
  const BudgetResult result = find_budgets(request, calibration, experiment, verification,
                                           measure_head_needs(session, first));
  const ModelConfig& config = session.config();
  const auto heads = static_cast<std::size_t>(config.num_layers * config.num_query_heads);
  ASSERT_EQ(result.budgets.size(), 3u);
  for (const AllocatedBudget& budget : result.budgets) {
    SCOPED_TRACE(std::string(name(budget.allocation)));
    ASSERT_EQ(budget.budget.kept.size(), heads);
    EXPECT_LE(budget.budget.calibration_change, request.tolerance);
    // The figures are those of a run with exactly this budget.
    const Treatment treatment =
        budget_treatment(config, request.ranking, request.rule, budget.budget.kept, request.seed);
    const Treatment* wave[] = {nullptr, &treatment};
    for (TreatedLoss* loss : {&calibration, &verification}) {
      const auto losses = loss->measure(wave);
      double untreated = 0, treated = 0;
      for (std::size_t i = 0; i < losses[0].size(); ++i) {
        untreated += losses[0][i].nll_nats_per_token;
        treated += losses[1][i].nll_nats_per_token;
      }
      EXPECT_NEAR(
          treated / untreated - 1,
          loss == &calibration ? budget.budget.calibration_change : budget.budget.verified_change,
          1e-12);
    }
    EXPECT_EQ(total_kept(budget.uniform_at_equal_total.kept), total_kept(budget.budget.kept));
  }
  EXPECT_LE(total_kept(result.smallest().budget.kept),
            total_kept(result.uniform_at_equal_loss.kept));
}

}  // namespace
}  // namespace toplens
