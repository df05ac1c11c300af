#include "selfcheck/compare_logits.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace toplens {
namespace {

/// Positions whose whole logits are compared: with 256,000 tokens in the vocabulary 66 MB.
constexpr std::size_t kLogitPositions = 32;

EnginePlan plan_of(ModelSession& session, std::span<const std::int32_t> ids, ComputeType compute) {
  EngineDemand demand;
  demand.longest_lane = static_cast<int>(ids.size());
  demand.total_rows = ids.size();
  demand.threads = session.pool().size();
  const DataType wanted = compute == ComputeType::f32 ? DataType::f32 : DataType::bf16;
  demand.converts_weights = session.model().weight_type() != wanted;
  return make_engine_plan(session.config(), compute, demand, session.memory_bytes());
}

/// Logits of the window's last positions, [positions, vocab_size].
std::vector<float> last_logits(ModelSession& session, std::span<const std::int32_t> ids,
                               const EnginePlan& plan, ProgressListener* progress) {
  ForwardPass pass(session.model(), session.pool(), plan);
  OutputHead head(session.model(), session.pool(), plan);
  const Lane lane{ids};
  const HiddenStates hidden = pass.run(std::span(&lane, 1), {}, progress);
  const auto vocabulary = static_cast<std::size_t>(session.config().vocab_size);
  const std::size_t positions = std::min(kLogitPositions, ids.size());
  const std::size_t skipped = ids.size() - positions;
  std::vector<float> logits(positions * vocabulary);
  head.logits(hidden, 0, [&](std::size_t position, std::size_t id, std::span<const float> values) {
    if (position < skipped) return;
    std::copy(values.begin(), values.end(),
              logits.begin() + static_cast<std::ptrdiff_t>((position - skipped) * vocabulary + id));
  });
  return logits;
}

double mean(std::span<const float> values) {
  double total = 0.0;
  for (const float value : values) total += double{value};
  return total / static_cast<double>(values.size());
}

LogitFacts compare(const std::vector<float>& exact, const std::vector<float>& rounded,
                   std::size_t vocabulary) {
  LogitFacts facts;
  facts.positions = exact.size() / vocabulary;
  for (std::size_t position = 0; position < facts.positions; ++position) {
    const std::span<const float> f32(exact.data() + position * vocabulary, vocabulary);
    const std::span<const float> bf16(rounded.data() + position * vocabulary, vocabulary);
    const double f32_mean = mean(f32), bf16_mean = mean(bf16);
    for (std::size_t id = 0; id < vocabulary; ++id) {
      const double centred = double{f32[id]} - f32_mean;
      facts.rms += centred * centred;
      facts.rms_difference += std::pow(double{bf16[id]} - bf16_mean - centred, 2);
      facts.largest = std::max(facts.largest, std::abs(double{f32[id]}));
    }
    facts.same_top += std::max_element(f32.begin(), f32.end()) - f32.begin() ==
                              std::max_element(bf16.begin(), bf16.end()) - bf16.begin()
                          ? 1
                          : 0;
  }
  const auto count = static_cast<double>(exact.size());
  facts.rms = std::sqrt(facts.rms / count);
  facts.rms_difference = std::sqrt(facts.rms_difference / count);
  return facts;
}

}  // namespace

LogitPlans plan_logits(ModelSession& session, std::span<const std::int32_t> window) {
  return {plan_of(session, window, ComputeType::f32), plan_of(session, window, ComputeType::bf16)};
}

LogitFacts compare_logits(ModelSession& session, std::span<const std::int32_t> window,
                          const LogitPlans& plans, ProgressListener* progress) {
  return compare(last_logits(session, window, plans.f32, progress),
                 last_logits(session, window, plans.bf16, progress),
                 static_cast<std::size_t>(session.config().vocab_size));
}

}  // namespace toplens
