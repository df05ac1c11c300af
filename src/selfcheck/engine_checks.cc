#include "selfcheck/engine_checks.h"

#include <algorithm>
#include <cmath>
#include <string>

#include <fmt/format.h>

#include "parallel/memory.h"

namespace toplens {
namespace {

constexpr double kSumTolerance = 1e-5;
/// Of the soft-cap: logits are rounded.
constexpr double kCapTolerance = 1e-5;
/// exp(-kLargestLogRatio) is still a normal float: below, a weight of 0 says nothing.
constexpr double kLargestLogRatio = 80.0;
/// RMS difference of bf16 and f32 logits over their RMS. Rounding to 8 bits gives about 0.2% for
/// one product and 1 to 3% after some dozens of layers.
constexpr double kLargeRounding = 0.05, kTooLargeRounding = 0.2;

std::string head_name(HeadId head) { return fmt::format("{}.{}", head.layer, head.query_head); }

/// "layers 0, 2 of 4" or "all 4 layers".
std::string windowed_layers(const ModelConfig& config, int& window) {
  std::string names;
  int count = 0;
  for (std::size_t layer = 0; layer < config.layer_window.size(); ++layer) {
    if (config.layer_window[layer] == 0) continue;
    window = std::max(window, config.layer_window[layer]);
    names += (names.empty() ? "" : ", ") + std::to_string(layer);
    ++count;
  }
  if (count == config.num_layers) return fmt::format("all {} layers", count);
  if (count > 8) return fmt::format("{} of {} layers", count, config.num_layers);
  return fmt::format("layers {} of {}", names, config.num_layers);
}

}  // namespace

std::optional<Finding> without_passes(const Evidence& evidence) {
  if (evidence.passes) return std::nullopt;
  return Finding{CheckStatus::skipped, "no forward pass was finished: see the failure above"};
}

Finding check_weights(const Evidence& evidence) {
  if (evidence.non_finite_weight.empty()) {
    return {CheckStatus::pass, fmt::format("{} are finite", format_bytes(evidence.weight_bytes))};
  }
  return {
      CheckStatus::fail,
      evidence.non_finite_weight +
          ". The file is damaged, or the model diverged in training: fetch it again and compare "
          "its digest with the publisher's"};
}

Finding check_activations(const Evidence& evidence) {
  if (!evidence.pass_error.empty()) {
    return {CheckStatus::fail,
            evidence.pass_error +
                ". Try --compute f32; if that fails too, weights and config.json "
                "do not belong together"};
  }
  if (const auto skipped = without_passes(evidence)) return *skipped;
  const TokenFacts& tokens = *evidence.tokens;
  return {CheckStatus::pass,
          fmt::format("{} {} of {} tokens ({}) through all layers in {}, all finite",
                      tokens.windows, tokens.windows == 1 ? "window" : "windows",
                      tokens.window_length, tokens.first_token, evidence.passes->compute)};
}

Finding check_attention_sums(const Evidence& evidence) {
  if (const auto skipped = without_passes(evidence)) return *skipped;
  const AttentionFacts& facts = evidence.passes->attention;
  const std::string found =
      fmt::format("{} rows of attention sum to 1 within {:.1e} (expected within {:.0e})",
                  facts.rows, facts.largest_sum_error, kSumTolerance);
  if (facts.rows > 0 && facts.largest_sum_error <= kSumTolerance) return {CheckStatus::pass, found};
  return {CheckStatus::fail,
          fmt::format("{}; the worst is query {} of head {} (layer.head). This is a fault of "
                      "toplens: please report it",
                      found, facts.sum_error_query, head_name(facts.sum_error_head))};
}

Finding check_causality(const Evidence& evidence) {
  if (const auto skipped = without_passes(evidence)) return *skipped;
  const CausalityFacts& facts = evidence.passes->causality;
  const std::string found =
      fmt::format("with another last token {} of {} earlier positions change a bit (expected 0)",
                  facts.changed, facts.positions);
  if (facts.changed > 0) {
    return {CheckStatus::fail, found + ". This is a fault of toplens: please report it"};
  }
  if (!facts.last_has_changed) {
    return {CheckStatus::warn,
            found +
                ", nor does the last one: the model does not look at its tokens, or two "
                "tokens have the same embedding"};
  }
  return {CheckStatus::pass, found + ", the last one does"};
}

Finding check_windows(const Evidence& evidence) {
  if (const auto skipped = without_passes(evidence)) return *skipped;
  const AttentionFacts& facts = evidence.passes->attention;
  if (facts.largest_outside > 0.0) {
    return {
        CheckStatus::fail,
        fmt::format("query {} of head {} (layer.head) puts weight {:.1e} on a token that it must "
                    "not see (expected 0). This is a fault of toplens: please report it",
                    facts.outside_query, head_name(facts.outside_head), facts.largest_outside)};
  }
  int window = 0;
  const std::string layers = windowed_layers(evidence.config, window);
  if (window == 0) {
    return {CheckStatus::pass,
            "config.json has no sliding window: every query sees itself and all tokens before it, "
            "and nothing else"};
  }
  const std::string meaning =
      fmt::format("{}: a query sees itself and the {} tokens before it", layers, window - 1);
  if (facts.full_window_rows == 0) {
    return {CheckStatus::skipped,
            fmt::format("{}, which {} tokens do not fill; --context-length {} tries it", meaning,
                        evidence.tokens->window_length, window + 64)};
  }
  const double share =
      static_cast<double>(facts.rows_at_edge) / static_cast<double>(facts.full_window_rows);
  const std::string found = fmt::format(
      "{}; nothing lies outside, and {:.0f} % of {} rows put weight on the oldest of "
      "them (expected above 0 %)",
      meaning, 100.0 * share, facts.full_window_rows);
  if (facts.rows_at_edge > 0) return {CheckStatus::pass, found};
  return {CheckStatus::fail,
          found + ". The window is shorter than config.json says: please report it"};
}

Finding check_attention_softcap(const Evidence& evidence) {
  if (const auto skipped = without_passes(evidence)) return *skipped;
  const double cap = evidence.config.attention_softcap;
  if (cap == 0.0) return {CheckStatus::pass, "none in config.json"};
  const double found = evidence.passes->attention.largest_log_ratio;
  // exp of the scores is rounded to float.
  const double allowed = 2.0 * cap * (1.0 + kCapTolerance) + kCapTolerance;
  if (allowed > kLargestLogRatio && !(found <= allowed)) {
    return {
        CheckStatus::skipped,
        fmt::format("scores within +-{} may differ by more than float32 weights can show", cap)};
  }
  const std::string figures = fmt::format(
      "scores of one query differ by at most {:.3f} (expected at most {}, twice the cap of {})",
      found, 2.0 * cap, cap);
  if (found <= allowed) return {CheckStatus::pass, figures};
  return {CheckStatus::fail, figures + ". The soft-cap is not applied: please report it"};
}

Finding check_final_softcap(const Evidence& evidence) {
  if (const auto skipped = without_passes(evidence)) return *skipped;
  const double cap = evidence.config.final_softcap;
  if (cap == 0.0) return {CheckStatus::pass, "none in config.json"};
  if (!evidence.passes->logits) return {CheckStatus::skipped, evidence.passes->logits_error};
  const std::string figures = fmt::format("the largest |logit| is {:.3f} (expected at most {})",
                                          evidence.passes->logits->largest, cap);
  if (evidence.passes->logits->largest <= cap * (1.0 + kCapTolerance)) {
    return {CheckStatus::pass, figures};
  }
  return {CheckStatus::fail, figures + ". The soft-cap is not applied: please report it"};
}

Finding check_bf16(const Evidence& evidence) {
  if (const auto skipped = without_passes(evidence)) return *skipped;
  if (!evidence.passes->logits) return {CheckStatus::fail, evidence.passes->logits_error};
  const LogitFacts& facts = *evidence.passes->logits;
  const double relative = facts.rms > 0.0 ? facts.rms_difference / facts.rms : 0.0;
  const std::string found = fmt::format(
      "RMS difference {:.2f} % of the logits' RMS (expected below {:.0f} %), the same most likely "
      "token at {} of {} positions",
      100.0 * relative, 100.0 * kLargeRounding, facts.same_top, facts.positions);
  if (relative < kLargeRounding) return {CheckStatus::pass, found};
  const std::string next = ". Use --compute f32 for results";
  if (relative < kTooLargeRounding) return {CheckStatus::warn, found + next};
  return {CheckStatus::fail,
          found + next + "; weights of this size were not made for bf16, or activations are huge"};
}

}  // namespace toplens
