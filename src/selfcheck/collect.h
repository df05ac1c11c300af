#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "model/session.h"
#include "parallel/progress.h"
#include "selfcheck/evidence.h"

namespace toplens {

struct SelfCheckOptions {
  std::filesystem::path text;    ///< UTF-8; or
  std::filesystem::path tokens;  ///< .npy of token ids, used as they are
  int context_length = 0;        ///< 0: min(512, the model's maximum), or the rows' length
  std::size_t windows = 4;       ///< at most, spread over the text
};

/// Reads the text, scans the weights and runs the windows. What is wrong with the checkpoint or its
/// tokenizer becomes evidence; throws Error where text or token ids cannot be read or are too short
/// for one window of two tokens. `progress` counts layers times lanes.
Evidence collect_evidence(ModelSession& session, const SelfCheckOptions& options,
                          ProgressListener* progress = nullptr);

}  // namespace toplens
