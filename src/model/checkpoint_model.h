#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/tensor_store.h"
#include "kernels/matmul.h"
#include "model/model_config.h"

namespace toplens {

/// The weights of one layer. Matrices point into the mapped files; the small vectors are converted
/// (norm weights with the architecture's offset added; empty where the architecture has none).
struct LayerWeights {
  WeightMatrix query, key, value, output, gate, up, down;
  std::vector<float> query_bias, key_bias, value_bias;
  std::vector<float> attention_norm, mlp_norm;
  std::vector<float> post_attention_norm, post_mlp_norm;
};

/// A checkpoint directory or GGUF file opened for computing: configuration and mapped weights.
class CheckpointModel {
 public:
  /// Reads the configuration, maps the weights and checks that all tensors are there, with the
  /// right shapes, and none is left over.
  explicit CheckpointModel(const std::filesystem::path& path);

  /// The directory or the GGUF file.
  const std::filesystem::path& directory() const { return path_; }
  const ModelConfig& config() const { return config_; }
  const TensorStore& tensors() const { return tensors_; }
  /// The dtype of the large matrices (of the first layer's query projection).
  DataType weight_type() const;
  /// Whether a matrix is not stored as rows of `type` in their order, so that slices are converted.
  bool needs_conversion(DataType type) const;

  LayerWeights layer(int index) const;
  WeightMatrix embedding() const;
  WeightMatrix output_head() const;
  std::vector<float> final_norm() const;

  /// Tells the system that a layer's weights are needed soon, or no longer. Results do not depend
  /// on it.
  void prefetch_layer(int index) const;
  void release_layer(int index) const;
  /// The same for the embedding and the output head.
  void prefetch_head() const;
  void release_embeddings() const;

  /// The first tensor of a layer (or, for layer == num_layers, of the embedding and the head) that
  /// holds NaN or infinity, in words: "tensor X holds NaN at element 17"; empty if there is none.
  std::string find_non_finite_weight(int layer) const;

 private:
  WeightMatrix matrix(const std::string& name, int rows, int columns) const;
  std::vector<float> vector(const std::string& name, int size, double offset) const;

  std::filesystem::path path_;
  ModelConfig config_;
  TensorStore tensors_;
};

/// Multiplications and additions of the matrix products and of causal attention, counted as 2 per
/// multiply-add, for one lane of `length` tokens through all layers (the output head not included).
double forward_operations(const ModelConfig& config, int length);
/// The same for the output head at one position.
double head_operations(const ModelConfig& config);

}  // namespace toplens
