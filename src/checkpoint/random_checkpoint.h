#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/data_type.h"
#include "parallel/progress.h"
#include "parallel/thread_pool.h"

namespace toplens {

/// A tensor of normally distributed weights.
struct RandomTensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  double mean = 0.0;
  double standard_deviation = 0.02;
};

/// A checkpoint of random weights in Hugging Face format.
struct RandomCheckpoint {
  struct File {
    std::string name, contents;
  };

  std::string config_json;
  std::vector<RandomTensor> tensors;  ///< in the order in which they are stored
  DataType type = DataType::bf16;
  std::uint64_t seed = 2027;
  std::uint64_t shard_bytes = 5'000'000'000;  ///< of tensors; a larger tensor has a shard alone
  std::vector<File> other_files;              ///< written beside the weights as they are
};

/// What the checkpoint takes on disk: weight files and all others.
std::uint64_t disk_bytes(const RandomCheckpoint& checkpoint);

/// Writes the checkpoint into `directory`, which must be empty or absent: `model.safetensors`, or
/// shards and their index where it has more than shard_bytes, config.json last. Streams; memory is
/// a few MiB for each thread. The bytes of a tensor depend on seed, name, shape, type and its
/// distribution, not on threads, shards or other tensors. `progress` counts bytes. Throws Error
/// where the disk has not the space (checked before) or fills; then nothing is left behind, as
/// after an exception of `progress`.
void write_random_checkpoint(const std::filesystem::path& directory,
                             const RandomCheckpoint& checkpoint, ThreadPool& pool,
                             ProgressListener* progress = nullptr);

}  // namespace toplens
