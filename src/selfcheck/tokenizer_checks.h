#pragma once

#include "selfcheck/check_result.h"
#include "selfcheck/evidence.h"

namespace toplens {

/// encode and decode of the text's first kilobytes; warn where only what the tokenizer normalises
/// differs.
Finding check_round_trip(const Evidence& evidence);
/// Shares of unknown tokens and of tokens that are single bytes.
Finding check_coverage(const Evidence& evidence);
/// Token ids and the tokenizer's vocabulary against the rows of the embedding.
Finding check_vocabulary(const Evidence& evidence);
/// The BOS of the tokenizer's files against config.json.
Finding check_bos(const Evidence& evidence);

}  // namespace toplens
