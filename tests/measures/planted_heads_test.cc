// Heads that are what they are by construction of their weights come out as that, wherever they
// stand in the layer and however their queries are grouped.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/analyze.h"
#include "io/atomic_file.h"
#include "measures/detectors.h"
#include "measures/planted_checkpoint.h"
#include "results/netcdf_file.h"
#include "support/command.h"
#include "support/scratch_directory.h"

namespace toplens {
namespace {

using testing::kPlantedBos;
using testing::kPlantedTokens;
using testing::PlantedKind;
using testing::ScratchDirectory;

constexpr std::size_t kDocuments = 8, kLength = 96;
constexpr std::uint64_t kSeed = 2027;
constexpr std::size_t kDetectorTokens = 50;

class Quiet : public AnalyzeListener {
 public:
  void note(const std::string&) override {}
  void start(std::uint64_t, double) override {}
  void advance(std::uint64_t, std::uint64_t) override {}
  void finish_part(std::uint64_t) override {}
};

/// BOS, then random tokens, of which the last occurs once before, not next to the end.
std::vector<std::int32_t> document(std::uint64_t number) {
  std::vector<std::int32_t> ids = {kPlantedBos};
  const auto random = repeated_random_tokens(number, 0, kLength, kPlantedTokens - 1, std::nullopt);
  ids.insert(ids.end(), random.begin(), random.begin() + kLength - 1);
  constexpr std::int32_t kFinal = kPlantedTokens - 1;  // none of the random ones
  ids.back() = kFinal;
  ids[20 + number] = kFinal;
  return ids;
}

/// What a head of this kind scores, from the tokens alone: where it attends is known.
std::array<double, kNumDetectors> expected_scores(PlantedKind kind) {
  std::array<double, kNumDetectors> sums{};
  for (std::uint64_t sequence = 0; sequence < kDocuments; ++sequence) {
    const auto ids =
        repeated_random_tokens(kSeed, sequence, kDetectorTokens, kPlantedTokens + 1, kPlantedBos);
    const std::size_t length = ids.size();
    std::vector<float> attention(length * length, 0.0f);
    for (std::size_t i = 0; i < length; ++i) {
      float* row = attention.data() + i * length;
      std::vector<std::size_t> targets;
      for (std::size_t j = 0; j <= i; ++j) {
        const bool hit = kind == PlantedKind::mixer ||
                         (kind == PlantedKind::previous && j + 1 == i) ||
                         (kind == PlantedKind::retriever && j < i && ids[j] == ids[i]) ||
                         (kind == PlantedKind::induction && j > 0 && ids[j - 1] == ids[i]);
        if (hit) targets.push_back(j);
      }
      if (targets.empty()) targets.push_back(0);
      for (const std::size_t j : targets) row[j] = 1.0f / static_cast<float>(targets.size());
    }
    const auto scores = detector_scores({attention.data(), length, length}, ids);
    for (std::size_t d = 0; d < kNumDetectors; ++d) sums[d] += scores[d] / kDocuments;
  }
  return sums;
}

Regime expected_regime(PlantedKind kind) {
  switch (kind) {
    case PlantedKind::mixer:
      return Regime::mixer;
    case PlantedKind::reset:
      return Regime::reset;
    default:
      return Regime::retriever;
  }
}

struct Layout {
  std::size_t rotation = 0;
  int kv_heads = 0;
};

class PlantedHeads : public ::testing::TestWithParam<Layout> {};

TEST_P(PlantedHeads, ComeOutAsBuilt) {
  const Layout layout = GetParam();
  const ScratchDirectory scratch;
  std::array<std::vector<PlantedKind>, 2> kinds;
  kinds[0] = {PlantedKind::retriever, PlantedKind::mixer,     PlantedKind::reset,
              PlantedKind::previous,  PlantedKind::retriever, PlantedKind::mixer};
  kinds[1] = {PlantedKind::retriever, PlantedKind::mixer,     PlantedKind::reset,
              PlantedKind::previous,  PlantedKind::induction, PlantedKind::reset};
  for (auto& layer : kinds) {
    std::rotate(layer.begin(), layer.begin() + static_cast<std::ptrdiff_t>(layout.rotation),
                layer.end());
  }
  testing::write_planted(scratch / "model", kinds, layout.kv_heads);
  std::vector<std::int32_t> all;
  for (std::uint64_t number = 0; number < kDocuments; ++number) {
    const auto ids = document(number);
    all.insert(all.end(), ids.begin(), ids.end());
  }
  testing::write_npy_int32(scratch / "tokens.npy", {kDocuments, kLength}, all);

  AnalyzeArguments arguments;
  arguments.engine.model = scratch / "model";
  arguments.engine.compute = "f32";
  arguments.engine.threads = 2;
  arguments.text.tokens = scratch / "tokens.npy";
  arguments.geometry.set_sizes = {1, 2, 4};
  arguments.geometry.random_repeats = 1;
  arguments.theory = "off";
  arguments.measures.detector_tokens = static_cast<int>(kDetectorTokens);
  arguments.out = scratch / "run";
  Quiet listener;
  analyze(arguments, listener);

  const Dataset heads = read_netcdf(scratch / "run" / "heads.nc");
  const auto values = [&](const std::string& name) { return heads.values<double>(name); };
  const auto regimes = heads.values<std::int32_t>("regime");
  for (std::size_t layer = 0; layer < 2; ++layer) {
    for (std::size_t head = 0; head < kinds[layer].size(); ++head) {
      const PlantedKind kind = kinds[layer][head];
      const std::size_t row = layer * kinds[layer].size() + head;
      SCOPED_TRACE("layer " + std::to_string(layer) + " head " + std::to_string(head) + " kind " +
                   std::to_string(static_cast<int>(kind)));
      EXPECT_EQ(regimes[row], static_cast<std::int32_t>(expected_regime(kind)));
      EXPECT_EQ(values("regime_stability")[row], 1.0);
      EXPECT_GT(values("regime_margin")[row], 0.5);
      EXPECT_EQ(heads.values<std::int32_t>("self")[row], 0);
      const auto expected = expected_scores(kind);
      for (const DetectorRow& detector : kDetectors) {
        // The retriever's weight is spread over several earlier occurrences by their distance.
        EXPECT_NEAR(values(std::string(detector.name))[row], expected[index_of(detector.detector)],
                    0.03)
            << detector.name;
      }
      if (kind == PlantedKind::reset) {
        EXPECT_GT(values("sink_mass")[row], 0.99);
        EXPECT_LT(values("output_ratio")[row], 0.02);
        EXPECT_EQ(values("sink_rate")[row], 1.0);
      }
      if (kind == PlantedKind::mixer) {
        EXPECT_NEAR(values("effective_number")[row], kLength - 1.0, 0.1);
        EXPECT_NEAR(values("selectivity")[row], 0.0, 1e-3);
        EXPECT_NEAR(values("relative_entropy")[row], 1.0, 1e-4);
      }
      if (kind == PlantedKind::previous) {
        EXPECT_NEAR(values("mean_attention_distance")[row], 1.0, 0.01);
        EXPECT_NEAR(values("recency_mass")[row], 1.0, 0.01);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Positions, PlantedHeads,
                         ::testing::Values(Layout{0, 6}, Layout{1, 3}, Layout{2, 2}, Layout{3, 1},
                                           Layout{4, 3}, Layout{5, 6}));

}  // namespace
}  // namespace toplens
