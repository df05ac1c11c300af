#include "selfcheck/collect.h"

#include <fmt/format.h>
#include <toplens/error.h>

#include "parallel/memory.h"
#include "selfcheck/compare_logits.h"
#include "selfcheck/read_tokens.h"
#include "selfcheck/run_lanes.h"

namespace toplens {
namespace {

/// Through the weights once: of each layer, then of embedding and head.
std::string scan_weights(const CheckpointModel& model, ProgressListener* progress) {
  const int layers = model.config().num_layers;
  for (int layer = 0; layer <= layers; ++layer) {
    if (layer + 1 < layers) model.prefetch_layer(layer + 1);
    const std::string found = model.find_non_finite_weight(layer);
    if (!found.empty()) return found;
    if (layer < layers) model.release_layer(layer);
    if (progress != nullptr) {
      progress->advance(static_cast<std::uint64_t>(layer) + 1,
                        static_cast<std::uint64_t>(layers) + 1);
    }
  }
  return {};
}

}  // namespace

Evidence collect_evidence(ModelSession& session, const SelfCheckOptions& options,
                          ProgressListener* progress) {
  Evidence evidence;
  const CheckpointModel& model = session.model();
  evidence.config = session.config();
  evidence.weight_bytes = model.tensors().total_bytes();
  evidence.checkpoint =
      fmt::format("{}, {} layers of {} query heads, {} of {} weights", evidence.config.architecture,
                  evidence.config.num_layers, evidence.config.num_query_heads,
                  format_bytes(evidence.weight_bytes), name(model.weight_type()));
  const SelfCheckTokens tokens = read_self_check_tokens(model.directory(), options, evidence);
  if (tokens.windows.empty()) {
    evidence.non_finite_weight = scan_weights(model, progress);
    return evidence;
  }
  // Too little memory is no fault of the model: it is not caught, and told before all work.
  const std::vector<std::int32_t>& window = tokens.windows.front().token_ids;
  const EnginePlan plan = plan_lanes(session, tokens);
  const LogitPlans logit_plans = plan_logits(session, window);
  evidence.non_finite_weight = scan_weights(model, progress);
  if (!evidence.non_finite_weight.empty()) return evidence;
  try {
    evidence.passes = run_lanes(session, tokens, plan, progress);
  } catch (const Error& error) {
    evidence.pass_error = error.what();
    return evidence;
  }
  try {
    evidence.passes->logits = compare_logits(session, window, logit_plans, progress);
  } catch (const Error& error) {
    evidence.passes->logits_error = error.what();
  }
  return evidence;
}

}  // namespace toplens
