// Waves of lanes in shares: what is sent, how a wave is cut and put together. That the model's
// losses are the same whoever computes them is distributed/losses_mpi.test.sh.

#include "intervention/loss_sharing.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <thread>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "intervention/loss_task.h"
#include "support/error_message.h"
#include "support/post_channel.h"

namespace toplens {
namespace {

ModelConfig config(int layers, int heads) {
  ModelConfig config;
  config.num_layers = layers;
  config.num_query_heads = heads;
  return config;
}

RC_GTEST_PROP(CutWave, SharesCoverEveryLaneOnce, ()) {
  const auto treatments = *rc::gen::inRange<std::size_t>(0, 40);
  const auto windows = *rc::gen::inRange<std::size_t>(1, 40);
  const int ranks = *rc::gen::inRange(2, 70);
  std::vector<int> seen(treatments * windows, 0);
  const std::vector<WaveShare> shares = cut_wave(treatments, windows, ranks);
  for (const WaveShare& share : shares) {
    RC_ASSERT(share.treatments > 0U);
    RC_ASSERT(share.windows > 0U);
    for (std::size_t t = 0; t < share.treatments; ++t) {
      for (std::size_t w = 0; w < share.windows; ++w) {
        ++seen.at((share.first_treatment + t) * windows + share.first_window + w);
      }
    }
  }
  for (const int count : seen) RC_ASSERT(count == 1);
  // No rank is left without work where there is enough.
  RC_ASSERT(shares.size() >= std::min<std::size_t>(treatments * windows, ranks));
}

TEST(CutWave, KeepsTheTreatmentsOfAWindowTogether) {
  const std::vector<WaveShare> shares = cut_wave(33, 32, 4);
  EXPECT_EQ(shares.size(), 16U);
  for (const WaveShare& share : shares) EXPECT_EQ(share.treatments, 33U);
  // One document under many treatments.
  EXPECT_EQ(cut_wave(64, 1, 4).size(), 8U);
}

TEST(LossTask, ArrivesAsItWasSent) {
  std::vector<ScoredWindow> windows(2);
  windows[0] = {{1, 2, 3, 70000}, 2, 7};
  windows[1] = {{5}, 1, std::uint64_t{1} << 63};
  Treatment treatment(Ranking::contribution, RemovalRule::renormalize, 2, 3,
                      std::numeric_limits<std::uint64_t>::max());
  treatment.set({1, 2}, 9);
  treatment.set({0, 1}, 4);
  const Treatment* const treatments[] = {nullptr, &treatment};
  const LossTask task = decode_loss_task(encode_loss_task(5000, windows, treatments), config(2, 3));
  EXPECT_EQ(task.total_tokens, 5000U);
  ASSERT_EQ(task.windows.size(), 2U);
  for (std::size_t w = 0; w < 2; ++w) {
    EXPECT_EQ(task.windows[w].token_ids, windows[w].token_ids);
    EXPECT_EQ(task.windows[w].first_target, windows[w].first_target);
    EXPECT_EQ(task.windows[w].document, windows[w].document);
  }
  ASSERT_EQ(task.treatments.size(), 2U);
  EXPECT_FALSE(task.treatments[0]);
  const Treatment& arrived = *task.treatments[1];
  EXPECT_EQ(arrived.ranking(), treatment.ranking());
  EXPECT_EQ(arrived.rule(), treatment.rule());
  EXPECT_EQ(arrived.seed(), treatment.seed());
  for (int layer = 0; layer < 2; ++layer) {
    for (int head = 0; head < 3; ++head) {
      EXPECT_EQ(arrived.set_size({layer, head}), treatment.set_size({layer, head}));
    }
  }
  // Of a model with fewer heads.
  EXPECT_NE(testing::error_message([&] {
              decode_loss_task(encode_loss_task(5000, windows, treatments), config(2, 2));
            }),
            "");
  EXPECT_NE(testing::error_message([] { decode_loss_task("no task", config(2, 2)); }).find("task"),
            std::string::npos);
}

TEST(LossTask, LossesKeepTheirBits) {
  const std::vector<std::vector<WindowLoss>> losses = {{{0.1, 3}, {1.0 / 3, 0}, {1e-300, 1}}};
  const auto arrived = decode_losses(encode_losses(losses), 1, 3);
  for (std::size_t w = 0; w < 3; ++w) {
    EXPECT_EQ(arrived[0][w].nll_nats_per_token, losses[0][w].nll_nats_per_token);
    EXPECT_EQ(arrived[0][w].rows_without_mass, losses[0][w].rows_without_mass);
  }
  EXPECT_NE(testing::error_message([&] { decode_losses(encode_losses(losses), 1, 2); }), "");
}

/// A loss that tells which window and treatment it is of.
WindowLoss loss_of(const ScoredWindow& window, const Treatment* treatment) {
  const int size = treatment == nullptr ? 0 : treatment->set_size({0, 0});
  return {static_cast<double>(window.document) + 0.001 * size, static_cast<std::uint64_t>(size)};
}

class CountingListener : public WaveListener {
 public:
  void start(std::uint64_t units, double /*tokens_per_unit*/) override { units_ = units; }
  void advance(std::uint64_t done, std::uint64_t total) override {
    EXPECT_EQ(total, units_);
    EXPECT_LE(done, total);
    last_ = done;
  }
  bool is_complete() const { return last_ == units_; }

 private:
  std::uint64_t units_ = 0, last_ = 0;
};

/// Waves over `ranks` threads; where `members_fail` they do so with their first task.
void share_waves(int ranks, bool members_fail) {
  testing::Post post(ranks);
  std::atomic<bool> failed{false};
  const testing::Members members(post, [&](int, WorkMember& member) {
    while (const std::optional<WorkTask> task = member.next()) {
      if (members_fail) {
        member.report(FailureKind::error, "no memory");
        failed = true;
        return;
      }
      const LossTask share = decode_loss_task(task->description, config(1, 1));
      std::vector<std::vector<WindowLoss>> losses;
      for (const std::optional<Treatment>& one : share.treatments) {
        losses.emplace_back();
        for (const ScoredWindow& window : share.windows) {
          losses.back().push_back(loss_of(window, one ? &*one : nullptr));
        }
      }
      member.deliver(*task, encode_losses(losses));
    }
    member.say_farewell("");
  });
  testing::PostChannel channel(post, 0);
  WorkLeader leader(channel);
  LossSharing sharing(leader, ranks);
  for (const std::size_t count : {1u, 7u, 40u}) {
    std::vector<ScoredWindow> windows(count);
    for (std::size_t w = 0; w < count; ++w) windows[w] = {{1, 2, 3}, 1, w};
    std::vector<Treatment> treatments;
    for (int size = 1; size < 20; ++size) {
      treatments.emplace_back(Ranking::attention, RemovalRule::remove, 1, 1, 0);
      treatments.back().set({0, 0}, size);
    }
    std::vector<const Treatment*> wave = {nullptr};
    for (const Treatment& one : treatments) wave.push_back(&one);
    CountingListener listener;
    const auto losses = sharing.measure(
        wave, windows,
        [&](std::span<const Treatment* const> some, const WaveShare& share,
            ProgressListener& progress) {
          std::vector<std::vector<WindowLoss>> own;
          for (const Treatment* one : some) {
            own.emplace_back();
            for (std::size_t w = 0; w < share.windows; ++w) {
              own.back().push_back(loss_of(windows[share.first_window + w], one));
            }
          }
          while (members_fail && !failed) std::this_thread::sleep_for(kPollInterval);
          progress.advance(1, 2);
          return own;
        },
        &listener);
    EXPECT_TRUE(listener.is_complete());
    ASSERT_EQ(losses.size(), wave.size());
    for (std::size_t t = 0; t < wave.size(); ++t) {
      for (std::size_t w = 0; w < count; ++w) {
        const WindowLoss expected = loss_of(windows[w], wave[t]);
        ASSERT_EQ(losses[t][w].nll_nats_per_token, expected.nll_nats_per_token) << t << ' ' << w;
        ASSERT_EQ(losses[t][w].rows_without_mass, expected.rows_without_mass);
      }
    }
  }
  leader.dismiss(testing::nothing);
}

TEST(LossSharing, WavesArePutTogetherWhoeverComputedThem) {
  for (const int ranks : {2, 3, 5}) share_waves(ranks, false);
}

TEST(LossSharing, AFailingRankEndsAWave) { EXPECT_THROW(share_waves(2, true), MemberFailed); }

}  // namespace
}  // namespace toplens
