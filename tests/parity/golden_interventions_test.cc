// Treated lanes against an independent float64 implementation of six architectures.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "intervention/scope.h"
#include "intervention/treated_loss.h"
#include "support/engine_run.h"
#include "support/golden_records.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

/// Below it the cut between kept and dropped tokens is within float32's own error.
constexpr double kSmallestGap = 5e-5;

Treatment treatment_of(const nlohmann::json& record, const ModelConfig& config) {
  Treatment treatment(parse_ranking(record.at("ranking").get<std::string>()),
                      parse_removal_rule(record.at("rule").get<std::string>()), config.num_layers,
                      config.num_query_heads, 0);
  Scope scope;
  const std::string kind = record.value("scope", "model");
  if (kind == "layer") scope = Scope::layer(record.at("layer"));
  if (kind == "head") scope = Scope::one_head({record.at("layer"), record.at("head")});
  set_size_in(scope, record.at("set_size"), treatment);
  return treatment;
}

class GoldenInterventions : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(GoldenInterventions, LossIsTheReference) {
  const auto directory = GetParam();
  const nlohmann::json expected = testing::expected_json(directory);
  ModelSession session(directory, 2, std::uint64_t{1} << 30, ComputeMode::f32);
  TreatedLoss loss(session, {{testing::golden_tokens(directory), 1, 0}});
  std::vector<Treatment> treatments;
  for (const auto& record : expected.at("interventions")) {
    treatments.push_back(treatment_of(record, session.config()));
  }
  std::vector<const Treatment*> wave = {nullptr};
  for (const Treatment& treatment : treatments) wave.push_back(&treatment);
  const auto found = loss.measure(wave);

  EXPECT_NEAR(found[0][0].nll_nats_per_token, expected.at("nll_nats_per_token").get<double>(),
              1e-5);
  double largest = 0;
  std::size_t compared = 0, scoped = 0;
  for (std::size_t i = 0; i < treatments.size(); ++i) {
    const auto& record = expected.at("interventions")[i];
    if (record.value("min_gap", 1.0) < kSmallestGap) continue;
    const double nll = record.at("nll_nats_per_token");
    EXPECT_NEAR(found[i + 1][0].nll_nats_per_token, nll, 1e-4) << record;
    largest = std::max(largest, std::fabs(found[i + 1][0].nll_nats_per_token - nll));
    ++compared;
    if (record.contains("scope")) ++scoped;
  }
  EXPECT_GE(compared, 8u);
  EXPECT_GE(scoped, 1u);
  std::printf("%s: %zu of %zu interventions, largest difference of the NLL %.1e\n",
              directory.filename().c_str(), compared, treatments.size(), largest);
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenInterventions, ::testing::ValuesIn(testing::golden_models()),
                         [](const auto& info) {
                           std::string name = info.param.filename().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace toplens
