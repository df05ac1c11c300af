#pragma once

#include <cstdint>
#include <span>

#include "model/session.h"
#include "parallel/progress.h"
#include "selfcheck/evidence.h"

namespace toplens {

struct LogitPlans {
  EnginePlan f32, bf16;
};

/// For one window. Throws Error where the session's memory does not hold it.
LogitPlans plan_logits(ModelSession& session, std::span<const std::int32_t> window);

/// One window through the model in float32 and in bf16 arithmetic, whatever the session's own.
/// Throws Error where a pass fails.
LogitFacts compare_logits(ModelSession& session, std::span<const std::int32_t> window,
                          const LogitPlans& plans, ProgressListener* progress);

}  // namespace toplens
