#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace toplens {

/// SHA-256 of bytes that come piece by piece.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }
  /// 64 lower-case hexadecimal digits; the last call on the object.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256(std::string_view text);
/// Throws Error naming the file that cannot be read. `step` as of digest_weight_files.
std::string sha256_file(const std::filesystem::path& path, const std::function<void()>& step = {});

/// What identifies a checkpoint without reading all of it. A GGUF file has configuration, index and
/// tokenizer in one place: all three digests are of its header, everything before the tensors.
struct CheckpointDigests {
  std::string config;     ///< of config.json
  std::string index;      ///< of model.safetensors.index.json, else of model.safetensors' header
  std::string tokenizer;  ///< of the tokenizer's file; empty where none was read
  /// Of every weight file's size, header and 64 evenly spaced pieces of 4 KiB: tells a fine-tuned
  /// model from its base, whose other digests are the same.
  std::string weights_sample;
  /// Of every weight file as a whole, by its name; empty where that was not asked for.
  std::map<std::string, std::string> weight_files = {};
};

/// `weight_files` in the order of the tensor store; `tokenizer_file` may be empty. Throws Error
/// naming the file that cannot be read.
CheckpointDigests digest_checkpoint(const std::filesystem::path& checkpoint,
                                    std::span<const std::filesystem::path> weight_files,
                                    const std::filesystem::path& tokenizer_file);

/// CheckpointDigests::weight_files: reads all weights once, through a buffer of 1 MiB. `step` is
/// called between pieces, and may throw to end it. Throws Error naming the file that cannot be
/// read.
std::map<std::string, std::string> digest_weight_files(
    std::span<const std::filesystem::path> weight_files, const std::function<void()>& step);

/// How often those two call `step` for a file of so many bytes.
std::uint64_t digest_steps(std::uint64_t bytes);

/// Of token windows: for each its length and then its ids, as little-endian int32.
std::string digest_token_ids(std::span<const std::vector<std::int32_t>> windows);

}  // namespace toplens
