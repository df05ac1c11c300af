#include "checkpoint/random_checkpoint.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <toplens/error.h>
#include <nlohmann/json.hpp>

#include "base/narrow.h"
#include "base/random.h"
#include "checkpoint/random_weights.h"
#include "io/atomic_file.h"
#include "io/json_text.h"
#include "io/system_error.h"
#include "io/temporary_file.h"
#include "parallel/memory.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kChunkElements = 512 * RandomWeights::kBlock;
constexpr std::size_t kChunksPerThread = 16;  // between two calls of the progress listener
constexpr std::size_t kHeaderAlignment = 8;

std::uint64_t num_elements(const RandomTensor& tensor) {
  std::uint64_t elements = 1;
  for (const std::uint64_t dimension : tensor.shape) {
    if (!checked_multiply(elements, dimension, elements) || elements >> 60 != 0) {
      throw Error(fmt::format("tensor {} is larger than any file", tensor.name));
    }
  }
  return elements;
}

/// One weight file: consecutive tensors [first, last).
struct Shard {
  std::string name;
  std::string header;
  std::size_t first = 0, last = 0;
  std::uint64_t tensor_bytes = 0;
  std::uint64_t file_bytes() const { return header.size() + tensor_bytes; }
};

std::string header_of(const RandomCheckpoint& checkpoint, const Shard& shard) {
  nlohmann::ordered_json json;
  json["__metadata__"]["format"] = "pt";
  std::uint64_t offset = 0;
  for (std::size_t i = shard.first; i < shard.last; ++i) {
    const RandomTensor& tensor = checkpoint.tensors[i];
    const std::uint64_t end = offset + num_elements(tensor) * bytes_per_element(checkpoint.type);
    json[tensor.name] = {
        {"dtype", name(checkpoint.type)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = json.dump();
  text.append((kHeaderAlignment - text.size() % kHeaderAlignment) % kHeaderAlignment, ' ');
  std::string length;
  for (std::size_t byte = 0; byte < 8; ++byte) {
    length += static_cast<char>(text.size() >> (8 * byte) & 0xff);
  }
  return length + text;
}

std::vector<Shard> make_shards(const RandomCheckpoint& checkpoint) {
  std::vector<Shard> shards(1);
  for (std::size_t i = 0; i < checkpoint.tensors.size(); ++i) {
    const std::uint64_t bytes =
        num_elements(checkpoint.tensors[i]) * bytes_per_element(checkpoint.type);
    if (shards.back().last > shards.back().first &&
        shards.back().tensor_bytes + bytes > checkpoint.shard_bytes) {
      shards.emplace_back();
      shards.back().first = i;
    }
    shards.back().last = i + 1;
    shards.back().tensor_bytes += bytes;
  }
  for (std::size_t i = 0; i < shards.size(); ++i) {
    shards[i].name = shards.size() == 1
                         ? "model.safetensors"
                         : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    shards[i].header = header_of(checkpoint, shards[i]);
  }
  return shards;
}

std::string index_text(const RandomCheckpoint& checkpoint, const std::vector<Shard>& shards) {
  nlohmann::ordered_json json;
  std::uint64_t total = 0;
  nlohmann::ordered_json& map = json["weight_map"];
  for (const Shard& shard : shards) {
    total += shard.tensor_bytes;
    for (std::size_t i = shard.first; i < shard.last; ++i) {
      map[checkpoint.tensors[i].name] = shard.name;
    }
  }
  json["metadata"]["total_size"] = total;
  return json.dump(2) + "\n";
}

/// All but the weights, in the order of writing.
std::vector<RandomCheckpoint::File> small_files(const RandomCheckpoint& checkpoint,
                                                const std::vector<Shard>& shards) {
  std::vector<RandomCheckpoint::File> files;
  if (shards.size() > 1) {
    files.push_back({"model.safetensors.index.json", index_text(checkpoint, shards)});
  }
  files.insert(files.end(), checkpoint.other_files.begin(), checkpoint.other_files.end());
  // Last: without it no directory is a checkpoint, should the process be killed before.
  files.push_back({"config.json", checkpoint.config_json});
  return files;
}

std::uint64_t disk_bytes(const std::vector<Shard>& shards,
                         const std::vector<RandomCheckpoint::File>& files) {
  std::uint64_t bytes = 0;
  for (const Shard& shard : shards) bytes += shard.file_bytes();
  for (const RandomCheckpoint::File& file : files) bytes += file.contents.size();
  return bytes;
}

/// The directory under construction: unless kept, the files published in it and the directories
/// made for it go with the object.
class NewDirectory {
 public:
  explicit NewDirectory(fs::path path) : path_(std::move(path)) {
    std::error_code error;
    const fs::file_status status = fs::status(path_, error);
    if (fs::exists(status)) {
      if (!fs::is_directory(status)) throw Error(path_.string() + ": is not a directory");
      const fs::directory_iterator entries(path_, error);
      if (error) throw_system_error(path_, "cannot read the directory", error.value());
      std::vector<fs::path> abandoned;
      for (const fs::directory_entry& entry : entries) {
        if (!is_abandoned(entry.path())) {
          throw Error(fmt::format("{}: the directory is not empty ({}); choose another",
                                  path_.string(), in_quotes(entry.path().filename().string())));
        }
        abandoned.push_back(entry.path());
      }
      for (const fs::path& file : abandoned) fs::remove(file, error);
      return;
    }
    for (fs::path missing = fs::absolute(path_); !fs::exists(missing, error);
         missing = missing.parent_path()) {
      if (missing.has_filename()) made_.push_back(missing);
    }
    try {
      if (!fs::create_directories(path_, error) && error) {
        throw_system_error(path_, "cannot make the directory", error.value());
      }
    } catch (...) {
      clean_up();
      throw;
    }
  }
  ~NewDirectory() {
    if (!kept_) clean_up();
  }
  NewDirectory(const NewDirectory&) = delete;
  NewDirectory& operator=(const NewDirectory&) = delete;

  const fs::path& path() const { return path_; }
  void published(const fs::path& file) { files_.push_back(file); }
  void keep() { kept_ = true; }

 private:
  void clean_up() noexcept {
    std::error_code ignored;
    for (const fs::path& file : files_) fs::remove(file, ignored);
    for (const fs::path& directory : made_) fs::remove(directory, ignored);
  }

  fs::path path_;
  std::vector<fs::path> made_;  // innermost first
  std::vector<fs::path> files_;
  bool kept_ = false;
};

class ShardWriter {
 public:
  ShardWriter(const RandomCheckpoint& checkpoint, ThreadPool& pool, ProgressListener* progress,
              std::uint64_t total_bytes)
      : checkpoint_(checkpoint), pool_(pool), progress_(progress), total_bytes_(total_bytes) {
    for (const RandomTensor& tensor : checkpoint.tensors) {
      const auto distribution = distribution_of(tensor);
      if (weights_.count(distribution) > 0) continue;
      weights_.emplace(distribution,
                       RandomWeights(checkpoint.type, distribution.first, distribution.second));
    }
    buffers_.resize(static_cast<std::size_t>(pool.size()));
  }

  void write(const Shard& shard, const fs::path& path) {
    TemporaryFile file(path);
    file.reserve(shard.file_bytes());
    file.write(0, shard.header.data(), shard.header.size());
    const std::vector<Chunk> chunks = chunks_of(shard);
    const std::size_t batch = kChunksPerThread * buffers_.size();
    for (std::size_t first = 0; first < chunks.size(); first += batch) {
      const std::size_t count = std::min(batch, chunks.size() - first);
      pool_.parallel_for(count, [&](std::size_t task, int worker) {
        write_chunk(chunks[first + task], file, buffers_[static_cast<std::size_t>(worker)]);
      });
      for (std::size_t i = first; i < first + count; ++i) done_bytes_ += chunks[i].bytes;
      if (progress_ != nullptr) progress_->advance(done_bytes_, total_bytes_);
    }
    file.publish();
  }

 private:
  struct Chunk {
    const RandomTensor* tensor = nullptr;
    std::uint64_t first_element = 0;
    std::uint64_t file_offset = 0;
    std::size_t bytes = 0;
  };

  static std::pair<double, double> distribution_of(const RandomTensor& tensor) {
    return {tensor.mean, tensor.standard_deviation};
  }

  std::vector<Chunk> chunks_of(const Shard& shard) const {
    const std::uint64_t element_bytes = bytes_per_element(checkpoint_.type);
    std::vector<Chunk> chunks;
    std::uint64_t offset = shard.header.size();
    for (std::size_t i = shard.first; i < shard.last; ++i) {
      const RandomTensor& tensor = checkpoint_.tensors[i];
      const std::uint64_t elements = num_elements(tensor);
      for (std::uint64_t first = 0; first < elements; first += kChunkElements) {
        const std::uint64_t count = std::min(kChunkElements, elements - first);
        chunks.push_back({&tensor, first, offset, static_cast<std::size_t>(count * element_bytes)});
        offset += count * element_bytes;
      }
    }
    return chunks;
  }

  void write_chunk(const Chunk& chunk, TemporaryFile& file, std::vector<std::byte>& buffer) const {
    if (buffer.size() < chunk.bytes) buffer.resize(chunk.bytes);
    const std::span<std::byte> part = std::span(buffer).first(chunk.bytes);
    // The name's characters are the keys of the tensor's own stream.
    std::uint64_t key = checkpoint_.seed;
    for (const char letter : chunk.tensor->name) {
      key = Random(key, {static_cast<unsigned char>(letter)}).next();
    }
    weights_.at(distribution_of(*chunk.tensor)).fill(key, chunk.first_element, part);
    file.write(chunk.file_offset, part.data(), part.size());
  }

  const RandomCheckpoint& checkpoint_;
  ThreadPool& pool_;
  ProgressListener* progress_;
  std::uint64_t total_bytes_;
  std::uint64_t done_bytes_ = 0;
  std::map<std::pair<double, double>, RandomWeights> weights_;
  std::vector<std::vector<std::byte>> buffers_;
};

void check_space(const fs::path& directory, std::uint64_t needed) {
  std::error_code error;
  const fs::space_info space = fs::space(directory, error);
  if (error || space.available >= needed) return;  // unknown: writing will show
  throw Error(fmt::format("{}: the disk has {} free, the checkpoint needs {} ({} bytes)",
                          directory.string(), format_bytes(space.available), format_bytes(needed),
                          needed));
}

}  // namespace

std::uint64_t disk_bytes(const RandomCheckpoint& checkpoint) {
  const std::vector<Shard> shards = make_shards(checkpoint);
  return disk_bytes(shards, small_files(checkpoint, shards));
}

void write_random_checkpoint(const fs::path& directory, const RandomCheckpoint& checkpoint,
                             ThreadPool& pool, ProgressListener* progress) {
  const std::vector<Shard> shards = make_shards(checkpoint);
  const std::vector<RandomCheckpoint::File> files = small_files(checkpoint, shards);
  const std::uint64_t needed = disk_bytes(shards, files);
  NewDirectory target(directory);
  check_space(directory, needed);
  try {
    std::uint64_t tensor_bytes = 0;
    for (const Shard& shard : shards) tensor_bytes += shard.tensor_bytes;
    ShardWriter writer(checkpoint, pool, progress, tensor_bytes);
    for (const Shard& shard : shards) {
      writer.write(shard, directory / shard.name);
      target.published(directory / shard.name);
    }
    for (const RandomCheckpoint::File& file : files) {
      write_file_atomically(directory / file.name, file.contents);
      target.published(directory / file.name);
    }
  } catch (const Error& error) {
    throw Error(fmt::format("{}; the checkpoint needs {} and was removed", error.what(),
                            format_bytes(needed)));
  }
  target.keep();
}

}  // namespace toplens
