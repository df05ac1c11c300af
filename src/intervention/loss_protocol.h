#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "corpus/corpus.h"
#include "intervention/treated_loss.h"

namespace toplens {

/// What is scored, the same for every treatment: stands beside every loss.
struct LossProtocol {
  std::vector<int> context_lengths;  ///< several: matched targets (theory.md 7)
  int score_tail = 0;                ///< the last so many tokens of a window are targets; 0: all
  bool has_bos = false;              ///< windows begin with an added BOS token
  std::size_t windows = 0;

  std::size_t targets_per_window(int context_length) const {
    return static_cast<std::size_t>(score_tail > 0 ? score_tail : context_length - 1);
  }
};

/// "32 windows of 512 tokens, BOS added in front of each, all 511 targets scored".
std::string describe(const LossProtocol& protocol, int context_length);

/// Throws Error where lengths are not increasing, a window is shorter than 2 tokens, or the scored
/// tail does not fit into the shortest window behind its first token.
void check(const LossProtocol& protocol);

/// The windows of one of the protocol's lengths: the last tokens of each of `longest` (windows of
/// the greatest length), behind the BOS token where there is one, so that all lengths score the
/// same targets.
std::vector<ScoredWindow> scored_windows(std::span<const TokenWindow> longest,
                                         const LossProtocol& protocol, int context_length);

}  // namespace toplens
