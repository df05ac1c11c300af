#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "corpus/corpus.h"
#include "selfcheck/collect.h"
#include "selfcheck/evidence.h"

namespace toplens {

/// The windows to run, and the token that the windows have in front or could have.
struct SelfCheckTokens {
  std::vector<TokenWindow> windows;
  std::optional<std::int32_t> bos_id;  ///< that is in front, else that config.json names
  bool has_bos = false;                ///< every window begins with bos_id
};

/// Tokenises the text (or reads the token ids) of a checkpoint and notes in `evidence` what the
/// tokenizer did. No windows where the tokenizer cannot be read or gives ids that the model has
/// not. Throws Error for a text that cannot be read or is too short.
SelfCheckTokens read_self_check_tokens(const std::filesystem::path& checkpoint,
                                       const SelfCheckOptions& options, Evidence& evidence);

}  // namespace toplens
