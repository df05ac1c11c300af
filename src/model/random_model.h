#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/data_type.h"
#include "checkpoint/random_checkpoint.h"

namespace toplens {

/// A number of config.json to be set: "num_hidden_layers" to 4.
struct ShapeChange {
  std::string_view key;
  int value = 0;
};

/// The shapes that random_model knows: "llama-2-7b, ...".
std::string random_model_shapes();

/// A checkpoint of random weights with the configuration of a published model, whose weights are as
/// at the start of training: matrices with standard deviation 0.02, norms near 1. `shape` is one of
/// random_model_shapes() in any case. Where the model has as many kv heads as query heads, a change
/// of the latter changes both. Throws Error for an unknown shape, listing the valid ones, and for
/// changes that make no model.
RandomCheckpoint random_model(std::string_view shape, std::span<const ShapeChange> changes,
                              DataType type, std::uint64_t seed);

}  // namespace toplens
