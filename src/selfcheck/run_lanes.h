#pragma once

#include "model/session.h"
#include "parallel/progress.h"
#include "selfcheck/evidence.h"
#include "selfcheck/read_tokens.h"

namespace toplens {

/// How run_lanes() will cut its work. Throws Error where the session's memory does not hold a lane.
EnginePlan plan_lanes(const ModelSession& session, const SelfCheckTokens& tokens);

/// Runs the windows, with an observer of every attention row, and beside them the first one with
/// another last token, their beginnings with the other first token and their second halves. All of
/// PassFacts but the logits. Throws Error where the engine finds what is not finite.
PassFacts run_lanes(ModelSession& session, const SelfCheckTokens& tokens, const EnginePlan& plan,
                    ProgressListener* progress);

}  // namespace toplens
