#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <toplens/array_view.h>

#include "base/random.h"

namespace toplens::testing {

inline double normal(Random& random) {
  return std::sqrt(-2.0 * std::log(1.0 - random.uniform())) *
         std::cos(6.283185307179586 * random.uniform());
}

/// One attention row over its visible tokens, with the values.
struct SampleHead {
  std::size_t tokens = 0;
  std::size_t dim = 0;
  std::vector<float> attention;
  std::vector<float> values;
  MatrixView<const float> value_view() const { return {values.data(), tokens, dim}; }
};

enum class Sample {
  plain,         ///< logits of sd 2
  sharp,         ///< logits of sd 24: most weights are tiny, some zero
  duplicated,    ///< few different tokens, each many times with the same weight
  zero_weights,  ///< half of the weights are 0
  zero_values,   ///< some values are 0
  integers,      ///< integer weights and values: all arithmetic is exact
};

inline std::vector<float> softmax_row(Random& random, std::size_t tokens, double logit_sd) {
  std::vector<double> logits(tokens);
  double largest = -1e300;
  for (double& x : logits) largest = std::max(largest, x = logit_sd * normal(random));
  double sum = 0.0;
  for (double& x : logits) sum += x = std::exp(x - largest);
  std::vector<float> row(tokens);
  for (std::size_t i = 0; i < tokens; ++i) row[i] = static_cast<float>(logits[i] / sum);
  return row;
}

inline SampleHead sample_head(Sample kind, std::size_t tokens, std::size_t dim,
                              std::uint64_t seed) {
  Random random(seed, {static_cast<std::uint64_t>(kind), tokens, dim});
  SampleHead head{tokens, dim, softmax_row(random, tokens, kind == Sample::sharp ? 24.0 : 2.0),
                  std::vector<float>(tokens * dim)};
  for (float& x : head.values) x = static_cast<float>(normal(random));
  switch (kind) {
    case Sample::plain:
    case Sample::sharp:
      break;
    case Sample::duplicated:
      for (std::size_t i = 0; i < tokens; ++i) {
        const std::size_t original = random.below(std::min<std::size_t>(tokens, 7));
        head.attention[i] = head.attention[original];
        for (std::size_t c = 0; c < dim; ++c) {
          head.values[i * dim + c] = head.values[original * dim + c];
        }
      }
      break;
    case Sample::zero_weights:
      for (float& a : head.attention) a = random.below(2) == 0 ? 0.0f : a;
      break;
    case Sample::zero_values:
      for (std::size_t i = 0; i < tokens; ++i) {
        if (random.below(3) != 0) continue;
        for (std::size_t c = 0; c < dim; ++c) head.values[i * dim + c] = 0.0f;
      }
      break;
    case Sample::integers:
      for (float& a : head.attention) a = static_cast<float>(random.below(4));
      for (float& x : head.values) x = static_cast<float>(random.below(7)) - 3.0f;
      break;
  }
  return head;
}

}  // namespace toplens::testing
