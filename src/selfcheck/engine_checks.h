#pragma once

#include <optional>

#include "selfcheck/check_result.h"
#include "selfcheck/evidence.h"

namespace toplens {

Finding check_weights(const Evidence& evidence);
/// Whether the forward passes came to their end: the engine stops at what is not finite.
Finding check_activations(const Evidence& evidence);
Finding check_attention_sums(const Evidence& evidence);
/// Another last token must leave every bit of the earlier positions as it was.
Finding check_causality(const Evidence& evidence);
/// Nothing outside the window, something on its oldest token.
Finding check_windows(const Evidence& evidence);
/// From the ratio of weights in a row: scores within +-cap differ by at most twice the cap.
Finding check_attention_softcap(const Evidence& evidence);
Finding check_final_softcap(const Evidence& evidence);
Finding check_bf16(const Evidence& evidence);

/// Why a check of the forward passes has nothing to judge; none where it has.
std::optional<Finding> without_passes(const Evidence& evidence);

}  // namespace toplens
