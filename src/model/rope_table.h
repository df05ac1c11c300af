#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/model_config.h"

namespace toplens {

/// Inverse frequencies of the head_dim / 2 rotary pairs, scaling included (linear, llama3).
std::vector<double> rope_inverse_frequencies(const RopeConfig& rope, int head_dim);

/// Cosines and sines for every position, computed in float64 and rounded once.
class RopeTable {
 public:
  RopeTable(const RopeConfig& rope, int head_dim, int positions);
  std::span<const float> cosine(std::size_t position) const {
    return std::span(cosine_).subspan(position * half_, half_);
  }
  std::span<const float> sine(std::size_t position) const {
    return std::span(sine_).subspan(position * half_, half_);
  }

 private:
  std::size_t half_;
  std::vector<float> cosine_, sine_;
};

}  // namespace toplens
