#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/data_type.h"

namespace toplens::testing {

struct TestTensor {
  std::vector<std::uint64_t> shape;
  std::vector<float> values;
};
using TestTensors = std::map<std::string, TestTensor>;

/// Little-endian elements, rounded to nearest even.
std::string encode(std::span<const float> values, DataType type);

/// directory/config.json and directory/model.safetensors, everything stored as `type`.
void write_checkpoint(const std::filesystem::path& directory, const nlohmann::json& config,
                      const TestTensors& tensors, DataType type);

/// Config and weights (not the expected outputs) of a checkpoint, into a directory made for them.
void copy_checkpoint(const std::filesystem::path& from, const std::filesystem::path& to);

/// Overwrites one element of a stored tensor in place, in the tensor's own type.
void set_element(const std::filesystem::path& checkpoint, const std::string& tensor,
                 std::size_t element, float value);

/// A LLaMA of random weights that takes more than one slice of outputs in the MLP and in the
/// vocabulary, with grouped queries.
void write_random_llama(const std::filesystem::path& directory, DataType type);

}  // namespace toplens::testing
