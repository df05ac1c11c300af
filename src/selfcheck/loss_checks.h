#pragma once

#include "selfcheck/check_result.h"
#include "selfcheck/evidence.h"

namespace toplens {

/// NLL per token against the entropy of the text's token frequencies.
Finding check_loss(const Evidence& evidence);
/// The same targets with the first token that the files ask for and the other way.
Finding check_bos_effect(const Evidence& evidence);
/// Whether more context helps the end of the windows: with wrong position embeddings it harms.
Finding check_positions(const Evidence& evidence);

}  // namespace toplens
