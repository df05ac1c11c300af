// What no one may notice in the numbers: threads, batches, groups, and who looks.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "support/engine_run.h"
#include "support/safetensors_writer.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

using testing::EngineCut;
using testing::EngineNumbers;
using testing::RecordingObserver;
using testing::run_engine;
using testing::SeenHead;
using testing::TokenIds;

template <typename T>
::testing::AssertionResult same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return ::testing::AssertionFailure() << a.size() << " != " << b.size();
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0) {
      return ::testing::AssertionFailure() << "element " << i << ": " << a[i] << " != " << b[i];
    }
  }
  return ::testing::AssertionSuccess();
}

void expect_same(const EngineNumbers& a, const EngineNumbers& b) {
  ASSERT_EQ(a.hidden.size(), b.hidden.size());
  for (std::size_t i = 0; i < a.hidden.size(); ++i) {
    ASSERT_TRUE(same_bits(a.hidden[i], b.hidden[i])) << "hidden state of document " << i;
    ASSERT_TRUE(same_bits(a.nll[i], b.nll[i])) << "NLL of document " << i;
  }
}

std::vector<ComputeType> compute_types() {
  if (!has_fast_bf16()) return {ComputeType::f32};
  return {ComputeType::f32, ComputeType::bf16};
}

/// Documents that take several query blocks and together more than one row block.
std::vector<TokenIds> long_documents(const CheckpointModel& model) {
  constexpr std::size_t kLengths[] = {300, 129, 128, 1, 2, 511, 200};
  return testing::random_documents(kLengths, model.config().vocab_size, 4);
}

void expect_invariant(const CheckpointModel& model, std::span<const TokenIds> documents) {
  for (const ComputeType compute : compute_types()) {
    SCOPED_TRACE(model.directory().string() + " in " + std::string(name(compute)));
    const EngineNumbers all_at_once = run_engine(model, documents, compute, EngineCut());
    for (const std::vector<double>& nll : all_at_once.nll) {
      for (const double value : nll) ASSERT_TRUE(std::isfinite(value));
    }
    for (const EngineCut& cut :
         {EngineCut{2, 0, 8192}, EngineCut{3, 0, 8192}, EngineCut{1, 1, 8192},
          EngineCut{2, 2, 8192}, EngineCut{2, 3, 1}, EngineCut{3, 0, 400}}) {
      SCOPED_TRACE(std::to_string(cut.threads) + " threads, " +
                   std::to_string(cut.lanes_per_batch) + " lanes, groups of " +
                   std::to_string(cut.group_rows) + " rows");
      expect_same(all_at_once, run_engine(model, documents, compute, cut));
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(Invariance, GoldenModelsDoNotDependOnThreadsBatchesAndGroups) {
  for (const auto& directory : testing::golden_models()) {
    const CheckpointModel model(directory);
    TokenIds ids = testing::golden_tokens(directory);
    std::vector<TokenIds> documents = {ids};
    for (const std::size_t length : {50u, 1u, 7u}) {
      documents.emplace_back(ids.begin(), ids.begin() + length);
    }
    expect_invariant(model, documents);
    if (HasFatalFailure()) return;
  }
}

TEST(Invariance, ManySlicesAndRowBlocksDoNotDependOnThreadsBatchesAndGroups) {
  for (const DataType type : {DataType::f32, DataType::f16, DataType::bf16}) {
    const testing::ScratchDirectory scratch;
    testing::write_random_llama(scratch / "model", type);
    const CheckpointModel model(scratch / "model");
    const std::vector<TokenIds> documents = long_documents(model);
    expect_invariant(model, documents);
    if (HasFatalFailure()) return;
  }
}

TEST(Invariance, APrefixHasTheHiddenStatesOfTheWhole) {
  // Causality: what follows a token does not reach it. Blocks of queries are cut the same way.
  const testing::ScratchDirectory scratch;
  testing::write_random_llama(scratch / "model", DataType::f32);
  const CheckpointModel model(scratch / "model");
  const std::size_t lengths[] = {400};
  const TokenIds whole = testing::random_documents(lengths, model.config().vocab_size, 9)[0];
  TokenIds changed = whole;
  changed[300] = (changed[300] + 1) % model.config().vocab_size;
  const std::vector<TokenIds> documents = {whole, changed};
  const EngineNumbers numbers = run_engine(model, documents, ComputeType::f32, EngineCut());
  const std::size_t width = static_cast<std::size_t>(model.config().hidden_size);
  const auto rows = [&](std::size_t document, std::size_t first, std::size_t count) {
    const std::vector<float>& hidden = numbers.hidden[document];
    const auto begin = hidden.begin() + static_cast<std::ptrdiff_t>(first * width);
    return std::vector<float>(begin, begin + static_cast<std::ptrdiff_t>(count * width));
  };
  EXPECT_TRUE(same_bits(rows(0, 0, 300), rows(1, 0, 300)));
  EXPECT_FALSE(same_bits(rows(0, 300, 1), rows(1, 300, 1)));
  EXPECT_FALSE(same_bits(rows(0, 399, 1), rows(1, 399, 1)));
}

/// Rows [first, ...) of what an observer of all queries saw.
std::vector<float> tail(const std::vector<float>& all, int length, int first) {
  const std::size_t width = all.size() / static_cast<std::size_t>(length);
  return {all.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(first) * width),
          all.end()};
}

TEST(Observers, SeeTheSameRowsHoweverManyTheyWant) {
  const testing::ScratchDirectory scratch;
  testing::write_random_llama(scratch / "model", DataType::f32);
  std::vector<std::filesystem::path> models = {scratch / "model",
                                               testing::golden_directory() / "tiny-mistral",
                                               testing::golden_directory() / "tiny-gemma2"};
  for (const auto& directory : models) {
    const CheckpointModel model(directory);
    const std::vector<TokenIds> documents = long_documents(model);
    RecordingObserver all(QuerySelection::all()), last(QuerySelection::last());
    RecordingObserver five(QuerySelection::tail(5)), both(QuerySelection::last());
    const auto run = [&](std::vector<AttentionObserver*> observers, int threads) {
      return run_engine(model, documents, ComputeType::f32, EngineCut{threads}, observers);
    };
    const EngineNumbers watched = run({&all}, 2);
    expect_same(watched, run({}, 1));
    run({&last}, 1);
    run({&five, &both}, 3);  // together, each gets what it asked for
    for (const SeenHead& seen : all.seen()) {
      const HeadView& view = seen.view;
      ASSERT_EQ(view.first_query, 0);
      for (const RecordingObserver* other : {&last, &five, &both}) {
        const SeenHead& part = other->head(view.head.layer, view.head.query_head, view.lane);
        const int wanted = other == &five ? 5 : 1;
        ASSERT_EQ(part.view.first_query, std::max(0, view.length - wanted));
        ASSERT_EQ(part.view.window, view.window);
        ASSERT_EQ(part.view.kv_head, view.kv_head);
        ASSERT_TRUE(
            same_bits(part.attention, tail(seen.attention, view.length, part.view.first_query)));
        ASSERT_TRUE(same_bits(part.output, tail(seen.output, view.length, part.view.first_query)));
        ASSERT_TRUE(same_bits(part.values, seen.values));
      }
    }
  }
}

TEST(Observers, RowsSumToOneAndAreZeroOutsideWhatTheQuerySees) {
  for (const auto& directory : testing::golden_models()) {
    const CheckpointModel model(directory);
    const std::vector<TokenIds> documents = long_documents(model);
    RecordingObserver observer(QuerySelection::all());
    const std::vector<AttentionObserver*> observers = {&observer};
    run_engine(model, documents, ComputeType::f32, EngineCut{2}, observers);
    for (const SeenHead& seen : observer.seen()) {
      const HeadView& view = seen.view;
      ASSERT_EQ(view.window,
                model.config().layer_window[static_cast<std::size_t>(view.head.layer)]);
      const auto length = static_cast<std::size_t>(view.length);
      const auto dim = seen.values.size() / length;
      for (int query = 0; query < view.length; ++query) {
        const float* row = seen.attention.data() + static_cast<std::size_t>(query) * length;
        double sum = 0;
        std::vector<double> output(dim);
        for (int key = 0; key < view.length; ++key) {
          const bool visible = key <= query && key >= view.first_visible(query);
          if (!visible) {
            ASSERT_EQ(row[key], 0.0f) << query << ' ' << key;
          }
          ASSERT_GE(row[key], 0.0f);
          sum += row[key];
          for (std::size_t c = 0; c < dim; ++c) {
            output[c] += double{row[key]} * seen.values[static_cast<std::size_t>(key) * dim + c];
          }
        }
        ASSERT_NEAR(sum, 1.0, 2e-6);
        for (std::size_t c = 0; c < dim; ++c) {
          ASSERT_NEAR(seen.output[static_cast<std::size_t>(query) * dim + c], output[c], 1e-4);
        }
      }
    }
  }
}

TEST(Observers, HeadsOfAGroupComeInOrderOnOneWorkerAndLayersInOrder) {
  const auto directory = testing::golden_directory() / "tiny-llama3-gqa";
  const CheckpointModel model(directory);
  const std::vector<TokenIds> documents = long_documents(model);
  RecordingObserver observer(QuerySelection::last());
  const std::vector<AttentionObserver*> observers = {&observer};
  run_engine(model, documents, ComputeType::f32, EngineCut{3}, observers);

  const ModelConfig& config = model.config();
  const ObservedPass& pass = observer.pass();
  EXPECT_EQ(pass.num_layers, config.num_layers);
  EXPECT_EQ(pass.num_query_heads, config.num_query_heads);
  EXPECT_EQ(pass.num_kv_heads, config.num_kv_heads);
  EXPECT_EQ(pass.head_dim, config.head_dim);
  EXPECT_EQ(pass.num_workers, 3);
  EXPECT_EQ(pass.lane_lengths, (std::vector<int>{300, 129, 128, 1, 2, 511, 200}));
  EXPECT_EQ(
      observer.seen().size(),
      static_cast<std::size_t>(config.num_layers * config.num_query_heads) * documents.size());
  const int group = config.num_query_heads / config.num_kv_heads;
  ASSERT_EQ(group, 4);
  int layer = 0;
  std::map<int, std::pair<HeadView, int>> before;  // what each worker saw last
  for (const SeenHead& seen : observer.seen()) {
    const HeadView& view = seen.view;
    ASSERT_GE(view.head.layer, layer);
    layer = view.head.layer;
    ASSERT_EQ(view.kv_head, view.head.query_head / group);
    ASSERT_EQ(seen.values, observer.head(view.head.layer, view.kv_head * group, view.lane).values);
    const auto found = before.find(seen.worker);
    if (view.head.query_head % group != 0) {
      ASSERT_NE(found, before.end());
      ASSERT_EQ(found->second.first.head.query_head, view.head.query_head - 1);
      ASSERT_EQ(found->second.first.lane, view.lane);
      ASSERT_EQ(found->second.first.head.layer, view.head.layer);
    } else if (found != before.end()) {
      ASSERT_EQ(found->second.first.head.query_head % group, group - 1);
    }
    before[seen.worker] = {view, seen.worker};
  }
}

}  // namespace
}  // namespace toplens
