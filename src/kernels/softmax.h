#pragma once

#include <span>

namespace toplens {

/// Turns the scores of one query's visible tokens into attention weights, in place:
/// softmax(softcap * tanh(scale * score / softcap)), softcap 0 meaning none. Returns false, with
/// the row undefined, if a scaled score is infinite or NaN.
[[nodiscard]] bool softmax_row(std::span<float> scores, float scale, float softcap);

/// softcap * tanh(value / softcap) for each value, in place. softcap > 0.
void apply_softcap(std::span<float> values, float softcap);

/// Log-sum-exp of a slice of logits in a form that slices can be combined from: max + log(sum).
struct PartialLogSumExp {
  double max = 0;
  double sum = 0;  ///< sum of exp(x - max)
};
PartialLogSumExp partial_log_sum_exp(std::span<const float> logits);

}  // namespace toplens
