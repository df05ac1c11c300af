// Every judgement on evidence that is changed in one place, and what the attention's observer
// counts.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "selfcheck/self_check.h"

namespace toplens {
namespace {

/// Evidence of a model with all that can be checked, as it should be.
Evidence sound_evidence() {
  Evidence evidence;
  evidence.checkpoint = "a model";
  evidence.config.num_layers = 2;
  evidence.config.vocab_size = 1000;
  evidence.config.bos_token_id = 1;
  evidence.config.layer_window = {0, 16};
  evidence.config.attention_softcap = 5.0;
  evidence.config.final_softcap = 8.0;
  evidence.has_text = true;
  TokenizerFacts tokenizer;
  tokenizer.description = "a tokenizer";
  tokenizer.bos_id = 1;
  tokenizer.bos_source = "a file";
  tokenizer.vocab_size = 1000;
  tokenizer.tokens = 10000;
  tokenizer.sample = tokenizer.decoded = "some text of two lines\nhere is the other";
  tokenizer.same_ids = true;
  evidence.tokenizer = tokenizer;
  TokenFacts tokens;
  tokens.tokens = 10000;
  tokens.largest_id = 999;
  tokens.unigram_entropy = 6.0;
  tokens.windows = 4;
  tokens.window_length = 64;
  evidence.tokens = tokens;
  PassFacts passes;
  passes.compute = "f32";
  passes.attention.rows = 1000;
  passes.attention.largest_sum_error = 1e-7;
  passes.attention.full_window_rows = 500;
  passes.attention.rows_at_edge = 500;
  passes.attention.largest_log_ratio = 9.9;
  passes.causality = {63, 0, true};
  passes.window_nll = {std::vector<double>(63, 3.0)};
  passes.bos = BosFacts{1, true, {100, 3.0, 3.1, 0.01}};
  passes.positions = PositionFacts{48, 17, {64, 3.0, 3.0, 0.01}};
  passes.logits = LogitFacts{32, 2.0, 0.02, 31, 7.9};
  evidence.passes = passes;
  return evidence;
}

struct Planted {
  std::string check;
  CheckStatus status;
  std::function<void(Evidence&)> plant;
};

std::vector<Planted> planted_faults() {
  using E = Evidence;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr CheckStatus kFail = CheckStatus::fail, kWarn = CheckStatus::warn,
                        kSkipped = CheckStatus::skipped;
  return {
      {"round trip", kFail,
       [](E& e) {
         e.tokenizer->decoded = "some txt";
         e.tokenizer->same_ids = false;
       }},
      {"round trip", kWarn, [](E& e) { e.tokenizer->decoded = "SOME text"; }},
      {"round trip", kWarn,
       [](E& e) {
         e.tokenizer->decoded = "some text of two lines here is the other";
         e.tokenizer->same_ids = false;
       }},
      {"coverage", kFail, [](E& e) { e.tokenizer->unknown = 600; }},
      {"coverage", kWarn, [](E& e) { e.tokenizer->unknown = 20; }},
      {"coverage", kWarn, [](E& e) { e.tokenizer->bytes = 600; }},
      {"vocabulary", kFail, [](E& e) { e.tokens->largest_id = 1000; }},
      {"vocabulary", kWarn, [](E& e) { e.tokenizer->vocab_size = 1001; }},
      {"vocabulary", kWarn, [](E& e) { e.tokenizer->vocab_size = 800; }},
      {"BOS", kFail, [](E& e) { e.tokenizer->bos_id = 2; }},
      {"BOS", kFail,
       [](E& e) {
         e.tokenizer->bos_id = 1000;
         e.config.bos_token_id.reset();
       }},
      {"weights", kFail, [](E& e) { e.non_finite_weight = "tensor t holds NaN at element 3"; }},
      {"attention sums", kFail, [](E& e) { e.passes->attention.largest_sum_error = 1e-4; }},
      {"attention sums", kFail, [=](E& e) { e.passes->attention.largest_sum_error = kInfinity; }},
      {"attention sums", kFail, [](E& e) { e.passes->attention.rows = 0; }},
      {"causality", kFail, [](E& e) { e.passes->causality.changed = 1; }},
      {"causality", kWarn, [](E& e) { e.passes->causality.last_has_changed = false; }},
      {"windows", kFail, [](E& e) { e.passes->attention.largest_outside = 1e-9; }},
      {"windows", kFail, [](E& e) { e.passes->attention.rows_at_edge = 0; }},
      {"windows", kSkipped, [](E& e) { e.passes->attention.full_window_rows = 0; }},
      {"attention soft-cap", kFail, [](E& e) { e.passes->attention.largest_log_ratio = 10.1; }},
      {"attention soft-cap", kFail,
       [=](E& e) { e.passes->attention.largest_log_ratio = kInfinity; }},
      {"attention soft-cap", kSkipped,
       [=](E& e) {
         e.config.attention_softcap = 50.0;
         e.passes->attention.largest_log_ratio = kInfinity;
       }},
      {"final soft-cap", kFail, [](E& e) { e.passes->logits->largest = 8.01; }},
      {"bf16", kWarn, [](E& e) { e.passes->logits->rms_difference = 0.2; }},
      {"bf16", kFail, [](E& e) { e.passes->logits->rms_difference = 0.5; }},
      {"loss", kFail,
       [](E& e) {
         e.passes->window_nll = {{6.1, 6.2}};
       }},
      {"loss", kWarn,
       [](E& e) {
         e.passes->window_nll = {{5.5, 5.7}};
       }},
      {"loss", kWarn,
       [](E& e) {
         e.passes->window_nll = {{6.1, 6.2}};
         e.tokens->tokens = 200;
       }},
      {"BOS effect", kWarn, [](E& e) { e.passes->bos->loss.second = 2.9; }},
      {"BOS effect", kSkipped, [](E& e) { e.passes->bos.reset(); }},
      {"positions", kWarn, [](E& e) { e.passes->positions->loss.first = 3.1; }},
      {"positions", kSkipped, [](E& e) { e.passes->positions.reset(); }},
  };
}

TEST(Judgement, PassesSoundEvidence) {
  for (const CheckResult& result : judge(sound_evidence())) {
    EXPECT_EQ(result.finding.status, CheckStatus::pass)
        << result.name << ": " << result.finding.reason;
  }
}

TEST(Judgement, FindsEveryPlantedFaultAndNothingElse) {
  for (const Planted& planted : planted_faults()) {
    Evidence evidence = sound_evidence();
    planted.plant(evidence);
    for (const CheckResult& result : judge(evidence)) {
      EXPECT_EQ(result.finding.status,
                result.name == planted.check ? planted.status : CheckStatus::pass)
          << result.name << " with a fault for " << planted.check << ": " << result.finding.reason;
    }
  }
}

TEST(Judgement, NoiseIsNoWarning) {
  Evidence evidence = sound_evidence();
  evidence.passes->bos->loss = {100, 3.1, 3.0, 0.05};
  evidence.passes->positions->loss = {100, 3.1, 3.0, 0.05};
  for (const CheckResult& result : judge(evidence)) {
    EXPECT_EQ(result.finding.status, CheckStatus::pass) << result.name;
  }
}

/// One head of four tokens with a window of two.
struct Shown {
  std::vector<float> attention = {1,    0,    0,    0,      //
                                  0.5f, 0.5f, 0,    0,      //
                                  0,    0.5f, 0.5f, 0,      //
                                  0,    0,    0.2f, 0.8f};  //
  AttentionFacts facts() const {
    AttentionFactsObserver observer;
    ObservedPass pass;
    pass.num_workers = 2;
    observer.begin(pass);
    HeadView view;
    view.head = {1, 3};
    view.length = 4;
    view.window = 2;
    view.attention = {attention.data(), 4, 4};
    observer.observe(view, 1);
    observer.end();
    return observer.facts();
  }
};

TEST(AttentionFacts, CountRowsAndWindows) {
  const AttentionFacts facts = Shown().facts();
  EXPECT_EQ(facts.rows, 4u);
  EXPECT_LT(facts.largest_sum_error, 1e-7);
  EXPECT_EQ(facts.largest_outside, 0.0);
  EXPECT_EQ(facts.full_window_rows, 2u);
  EXPECT_EQ(facts.rows_at_edge, 2u);
  EXPECT_NEAR(facts.largest_log_ratio, std::log(4.0), 1e-6);
}

TEST(AttentionFacts, FindWhatMustNotBe) {
  Shown later;  // weight on a later token
  later.attention[4 + 2] = 0.25f;
  EXPECT_EQ(later.facts().largest_outside, 0.25);
  EXPECT_EQ(later.facts().outside_query, 1);
  EXPECT_EQ(later.facts().outside_head.query_head, 3);
  Shown earlier;  // weight before the window
  earlier.attention[3 * 4] = 0.1f;
  EXPECT_NEAR(earlier.facts().largest_outside, 0.1, 1e-7);
  EXPECT_EQ(earlier.facts().outside_query, 3);
  Shown sum;
  sum.attention[2 * 4 + 1] = 0.6f;
  EXPECT_NEAR(sum.facts().largest_sum_error, 0.1, 1e-6);
  EXPECT_EQ(sum.facts().sum_error_query, 2);
  EXPECT_EQ(sum.facts().sum_error_head.layer, 1);
  Shown short_window;
  short_window.attention[2 * 4 + 1] = 0.0f;
  short_window.attention[2 * 4 + 2] = 1.0f;
  EXPECT_EQ(short_window.facts().rows_at_edge, 1u);
  EXPECT_TRUE(std::isinf(short_window.facts().largest_log_ratio));
  Shown nan;
  nan.attention[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isinf(nan.facts().largest_sum_error));
}

}  // namespace
}  // namespace toplens
