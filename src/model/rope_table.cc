#include "model/rope_table.h"

#include <cmath>
#include <numbers>

namespace toplens {

std::vector<double> rope_inverse_frequencies(const RopeConfig& rope, int head_dim) {
  const int half = head_dim / 2;
  std::vector<double> frequencies(static_cast<std::size_t>(half));
  for (int i = 0; i < half; ++i) {
    double frequency = std::pow(rope.theta, -2.0 * i / head_dim);
    if (rope.type == "linear") frequency /= rope.factor;
    if (rope.type == kRopeOfDivisors) frequency /= rope.divisors[static_cast<std::size_t>(i)];
    if (rope.type == "llama3") {
      // Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, a linear ramp
      // between.
      const double wavelength = 2 * std::numbers::pi / frequency;
      const double turns = rope.original_max_position_embeddings / wavelength;
      if (turns < rope.low_freq_factor) {
        frequency /= rope.factor;
      } else if (turns <= rope.high_freq_factor) {
        const double kept =
            (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
        frequency = (1 - kept) * frequency / rope.factor + kept * frequency;
      }
    }
    frequencies[static_cast<std::size_t>(i)] = frequency;
  }
  return frequencies;
}

RopeTable::RopeTable(const RopeConfig& rope, int head_dim, int positions)
    : half_(static_cast<std::size_t>(head_dim / 2)) {
  const std::vector<double> frequencies = rope_inverse_frequencies(rope, head_dim);
  cosine_.reserve(static_cast<std::size_t>(positions) * half_);
  sine_.reserve(cosine_.capacity());
  for (int position = 0; position < positions; ++position) {
    for (const double frequency : frequencies) {
      cosine_.push_back(static_cast<float>(std::cos(position * frequency)));
      sine_.push_back(static_cast<float>(std::sin(position * frequency)));
    }
  }
}

}  // namespace toplens
