#include "selfcheck/loss_checks.h"

#include <algorithm>
#include <numeric>
#include <string>

#include <fmt/format.h>

#include "selfcheck/engine_checks.h"

namespace toplens {
namespace {

/// A model that has learnt something is well below the entropy of the frequencies.
constexpr double kLearntShare = 0.9;
/// The entropy of few tokens' own frequencies is too low to judge by.
constexpr std::size_t kFewTokens = 256;
/// Nats per token by which the other way may be better, and standard errors of the difference: what
/// is within may be noise.
constexpr double kMargin = 0.05, kStandardErrors = 3.0;

double allowed(const PairedLoss& loss) {
  return std::max(kMargin, kStandardErrors * loss.standard_error);
}

}  // namespace

Finding check_loss(const Evidence& evidence) {
  if (const auto skipped = without_passes(evidence)) return *skipped;
  double nll = 0.0;
  std::size_t targets = 0;
  for (const auto& window : evidence.passes->window_nll) {
    nll += std::accumulate(window.begin(), window.end(), 0.0);
    targets += window.size();
  }
  nll /= static_cast<double>(targets);
  const double entropy = evidence.tokens->unigram_entropy;
  const std::string found = fmt::format(
      "NLL {:.3f} nats per token over {} targets, the frequencies of the text's {} tokens alone "
      "give {:.3f} (expected below {:.0f} % of that)",
      nll, targets, evidence.tokens->tokens, entropy, 100.0 * kLearntShare);
  if (nll < kLearntShare * entropy) return {CheckStatus::pass, found};
  if (evidence.tokens->tokens < kFewTokens) {
    return {CheckStatus::warn,
            fmt::format("{}: too few tokens to judge by, give a text of {} or more", found,
                        kFewTokens)};
  }
  if (nll < entropy) {
    return {CheckStatus::warn, found +
                                   ". Hardly better than frequencies: is the text of a kind "
                                   "that the model was trained on?"};
  }
  return {CheckStatus::fail,
          found +
              ". No better than frequencies: untrained weights, another model's tokenizer, a "
              "missing BOS, or wrong position embeddings (rope_theta, rope_scaling)"};
}

Finding check_bos_effect(const Evidence& evidence) {
  if (const auto skipped = without_passes(evidence)) return *skipped;
  if (!evidence.passes->bos) {
    return {CheckStatus::skipped, "no file names a BOS token, or the text is too short"};
  }
  const BosFacts& facts = *evidence.passes->bos;
  const double better = facts.loss.first - facts.loss.second;
  const std::string found = fmt::format(
      "NLL {:.3f} nats per token {} token {} in front, {:.3f} {} it, over the same {} targets",
      facts.loss.first, facts.added ? "with" : "without", facts.id, facts.loss.second,
      facts.added ? "without" : "with", facts.loss.targets);
  if (better <= allowed(facts.loss)) return {CheckStatus::pass, found};
  return {CheckStatus::warn,
          fmt::format("{}: the other way is {:.3f} better (expected at most {:.3f}). {}", found,
                      better, allowed(facts.loss),
                      facts.added ? "See which BOS the model was trained with"
                                  : "See whether tokenizer_config.json should have add_bos_token")};
}

Finding check_positions(const Evidence& evidence) {
  if (const auto skipped = without_passes(evidence)) return *skipped;
  if (!evidence.passes->positions) {
    return {CheckStatus::skipped, "the windows are too short to compare their halves"};
  }
  const PositionFacts& facts = *evidence.passes->positions;
  const double worse = facts.loss.first - facts.loss.second;
  const std::string found = fmt::format(
      "NLL {:.3f} nats per token after {} tokens or more, {:.3f} after the last {} or more of "
      "them, "
      "over the same {} targets: the longer context is {:+.3f} (expected at most {:+.3f})",
      facts.loss.first, facts.least_before, facts.loss.second, facts.least_before_short,
      facts.loss.targets, worse, allowed(facts.loss));
  if (worse <= allowed(facts.loss)) return {CheckStatus::pass, found};
  return {CheckStatus::warn,
          found +
              ". Position embeddings may be wrong (rope_theta, rope_scaling), or the window is "
              "longer than the model was trained for"};
}

}  // namespace toplens
