// Treated lanes: what a row becomes, and what no one may notice in the numbers.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "intervention/scope.h"
#include "intervention/treated_loss.h"
#include "support/engine_run.h"
#include "support/safetensors_writer.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

using testing::RecordingObserver;
using testing::SeenHead;
using testing::TokenIds;

constexpr std::uint64_t kSeed = 5;

bool same_bits(double a, double b) { return std::memcmp(&a, &b, sizeof(a)) == 0; }

Treatment make(const ModelConfig& config, Ranking ranking, RemovalRule rule, const Scope& scope,
               int set_size) {
  Treatment treatment(ranking, rule, config.num_layers, config.num_query_heads, kSeed);
  set_size_in(scope, set_size, treatment);
  return treatment;
}

/// Shows an untreated lane and one treated in one layer, and gives what each head was.
void observe_pair(const CheckpointModel& model, const TokenIds& ids, const Treatment& treatment,
                  std::uint64_t document, RecordingObserver& observer) {
  EngineDemand demand;
  demand.longest_lane = static_cast<int>(ids.size());
  demand.total_rows = ids.size();
  demand.lanes_wanted = 2;
  demand.threads = 2;
  const EnginePlan plan =
      make_engine_plan(model.config(), ComputeType::f32, demand, std::uint64_t{1} << 30);
  ThreadPool pool(2);
  Lane treated;
  treated.token_ids = ids;
  treated.treatment = &treatment;
  treated.document = document;
  const Lane lanes[] = {Lane{ids}, treated};
  AttentionObserver* const observers[] = {&observer};
  ForwardPass(model, pool, plan).run(lanes, observers);
}

/// The ranking of a query's visible tokens, best first, by a full sort.
std::vector<std::uint32_t> plain_order(const SeenHead& head, Ranking ranking, std::size_t query,
                                       std::uint64_t document) {
  const std::size_t length = static_cast<std::size_t>(head.view.length);
  const std::size_t first =
      static_cast<std::size_t>(head.view.first_visible(static_cast<int>(query)));
  const std::size_t count = query + 1 - first;
  const std::size_t width = head.values.size() / length;
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  if (ranking == Ranking::random) {
    TokenRanker ranker;
    const RandomRankingKey key{document, head.view.head.layer, head.view.head.query_head,
                               static_cast<int>(query), 0};
    const auto random = ranker.at_random(kSeed, key, count, count);
    return {random.begin(), random.end()};
  }
  std::vector<double> scores(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t token = first + i;
    double norm = 0;
    for (std::size_t c = 0; c < width; ++c) {
      norm += std::pow(double{head.values[token * width + c]}, 2);
    }
    const double weight = head.attention[query * length + token];
    if (ranking == Ranking::attention) scores[i] = weight;
    if (ranking == Ranking::contribution) scores[i] = weight * std::sqrt(norm);
    if (ranking == Ranking::positional) {
      scores[i] = token == 0 ? 1e9 : static_cast<double>(token);
    }
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return scores[a] > scores[b]; });
  return order;
}

TEST(TreatedLanes, RowsAndOutputsAreThoseOfAPlainReference) {
  for (const char* name : {"tiny-llama3-gqa", "tiny-mistral"}) {  // the second has a window
    const CheckpointModel model(testing::golden_directory() / name);
    const ModelConfig& config = model.config();
    const TokenIds ids = testing::golden_tokens(model.directory());
    constexpr std::uint64_t kDocument = 3;
    for (const NamedKind<Ranking>& ranking : kRankingNames) {
      for (const NamedKind<RemovalRule>& rule : kRemovalRuleNames) {
        const int layer = config.num_layers - 1, set_size = 5;
        SCOPED_TRACE(std::string(name) + " " + std::string(ranking.name) + " " +
                     std::string(rule.name));
        RecordingObserver observer(QuerySelection::all());
        observe_pair(model, ids,
                     make(config, ranking.kind, rule.kind, Scope::layer(layer), set_size),
                     kDocument, observer);
        for (int h = 0; h < config.num_query_heads; ++h) {
          const SeenHead& plain = observer.head(layer, h, 0);
          const SeenHead& treated = observer.head(layer, h, 1);
          const std::size_t length = ids.size(), width = plain.values.size() / length;
          for (std::size_t query = 0; query < length; ++query) {
            const auto first =
                static_cast<std::size_t>(plain.view.first_visible(static_cast<int>(query)));
            const std::vector<std::uint32_t> order =
                plain_order(plain, ranking.kind, query, kDocument);
            std::vector<double> weights(length, 0.0);
            double sum = 0;
            for (std::size_t i = 0; i < std::min<std::size_t>(order.size(), set_size); ++i) {
              const std::size_t token = first + order[i];
              weights[token] = plain.attention[query * length + token];
              sum += weights[token];
            }
            const bool unchanged = order.size() <= static_cast<std::size_t>(set_size);
            std::vector<double> output(width, 0.0);
            for (std::size_t token = 0; token < length; ++token) {
              if (rule.kind == RemovalRule::renormalize && !unchanged) weights[token] /= sum;
              const float found = treated.attention[query * length + token];
              if (unchanged || weights[token] == 0) {
                ASSERT_EQ(found, static_cast<float>(weights[token])) << query << " " << token;
              }
              ASSERT_NEAR(found, weights[token], 1e-6) << query << " " << token;
              for (std::size_t c = 0; c < width; ++c) {
                output[c] += weights[token] * plain.values[token * width + c];
              }
            }
            for (std::size_t c = 0; c < width; ++c) {
              ASSERT_NEAR(treated.output[query * width + c], output[c], 1e-5) << query;
            }
          }
        }
      }
    }
  }
}

std::vector<ScoredWindow> windows_of(const CheckpointModel& model) {
  constexpr std::size_t kLengths[] = {300, 129, 61};
  std::vector<ScoredWindow> windows;
  for (TokenIds& ids : testing::random_documents(kLengths, model.config().vocab_size, 4)) {
    windows.push_back({std::move(ids), 1 + 10 * windows.size(), windows.size()});
  }
  return windows;
}

struct Wave {
  std::vector<Treatment> treatments;
  std::vector<const Treatment*> pointers = {};
  const std::vector<const Treatment*>& all() {
    pointers = {nullptr};
    for (const Treatment& treatment : treatments) pointers.push_back(&treatment);
    return pointers;
  }
};

/// Each ranking and rule, each scope, small sizes and one that covers everything.
Wave wave_of(const ModelConfig& config) {
  Wave wave;
  for (const NamedKind<Ranking>& ranking : kRankingNames) {
    for (const NamedKind<RemovalRule>& rule : kRemovalRuleNames) {
      wave.treatments.push_back(make(config, ranking.kind, rule.kind, Scope::model(), 3));
      wave.treatments.push_back(make(config, ranking.kind, rule.kind, Scope::model(), 300));
    }
  }
  for (int layer = 0; layer < config.num_layers; ++layer) {
    wave.treatments.push_back(
        make(config, Ranking::attention, RemovalRule::remove, Scope::layer(layer), 2));
    wave.treatments.push_back(make(config, Ranking::random, RemovalRule::renormalize,
                                   Scope::one_head({layer, layer % config.num_query_heads}), 2));
  }
  return wave;
}

void expect_same(const std::vector<std::vector<WindowLoss>>& a,
                 const std::vector<std::vector<WindowLoss>>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t w = 0; w < a[i].size(); ++w) {
      ASSERT_TRUE(same_bits(a[i][w].nll_nats_per_token, b[i][w].nll_nats_per_token))
          << "treatment " << i << " window " << w;
      ASSERT_EQ(a[i][w].rows_without_mass, b[i][w].rows_without_mass);
    }
  }
}

TEST(TreatedLanes, DoNotDependOnThreadsBatchesAndForks) {
  const testing::ScratchDirectory scratch;
  testing::write_random_llama(scratch / "model", DataType::bf16);
  for (const std::filesystem::path& directory :
       {scratch / "model", testing::golden_directory() / "tiny-gemma2"}) {
    for (const ComputeMode mode : {ComputeMode::f32, ComputeMode::automatic}) {
      ModelSession session(directory, 2, std::uint64_t{2} << 30, mode);
      const std::vector<ScoredWindow> windows = windows_of(session.model());
      Wave wave = wave_of(session.config());
      TreatedLoss all_at_once(session, windows, 1000);
      const auto losses = all_at_once.measure(wave.all());
      const std::size_t forked = all_at_once.layer_lane_forwards();

      // N at or above the context: the untreated bits.
      for (std::size_t i = 1; i <= 16; i += 2) {
        expect_same({losses[i + 1]}, {losses[0]});
        EXPECT_FALSE(same_bits(losses[i][0].nll_nats_per_token, losses[0][0].nll_nats_per_token));
      }
      for (const int lanes : {1, 2, 5}) {
        ModelSession other(directory, lanes, std::uint64_t{2} << 30, mode);
        TreatedLoss loss(other, windows, lanes);
        expect_same(loss.measure(wave.all()), losses);
        if (HasFatalFailure()) return;
        // A single lane runs from layer 0: the comparison is one of forked with not forked lanes.
        if (lanes == 1) {
          EXPECT_GT(loss.layer_lane_forwards(), forked);
        }
      }
    }
  }
}

TEST(TreatedLanes, ForksComputeTheLaterLayersAlone) {
  const auto directory = testing::golden_directory() / "tiny-llama";
  ModelSession session(directory, 1, std::uint64_t{1} << 30, ComputeMode::f32);
  const ModelConfig& config = session.config();
  TreatedLoss loss(session, {{testing::golden_tokens(directory), 1, 0}}, 100);
  Wave wave;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    wave.treatments.push_back(
        make(config, Ranking::attention, RemovalRule::remove, Scope::layer(layer), 2));
  }
  loss.measure(wave.all());
  const int layers = config.num_layers;
  EXPECT_EQ(loss.layer_lane_forwards(),
            static_cast<std::uint64_t>(layers + layers * (layers + 1) / 2));
}

TEST(TreatedLanes, RowsWithoutMassAreCounted) {
  // A random ranking that keeps one token of many meets weights that underflowed.
  const testing::ScratchDirectory scratch;
  testing::copy_checkpoint(testing::golden_directory() / "tiny-llama", scratch / "model");
  const TokenIds ids = testing::golden_tokens(testing::golden_directory() / "tiny-llama");
  const ModelConfig config = CheckpointModel(scratch / "model").config();
  for (std::size_t i = 0; i < static_cast<std::size_t>(config.hidden_size); ++i) {
    testing::set_element(scratch / "model", "model.layers.0.input_layernorm.weight", i, 300.0f);
  }
  ModelSession sharp(scratch / "model", 2, std::uint64_t{1} << 30, ComputeMode::f32);
  TreatedLoss loss(sharp, {{ids, 1, 0}});
  Wave wave;
  for (const RemovalRule rule : {RemovalRule::remove, RemovalRule::renormalize}) {
    wave.treatments.push_back(make(config, Ranking::random, rule, Scope::layer(0), 1));
  }
  const auto losses = loss.measure(wave.all());
  EXPECT_EQ(losses[0][0].rows_without_mass, 0u);
  EXPECT_EQ(losses[1][0].rows_without_mass, 0u);
  EXPECT_GT(losses[2][0].rows_without_mass, 0u);
  EXPECT_TRUE(std::isfinite(losses[2][0].nll_nats_per_token));
}

}  // namespace
}  // namespace toplens
