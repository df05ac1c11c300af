#include "checkpoint/tensor_store.h"

#include <fmt/format.h>
#include <toplens/error.h>

#include <algorithm>
#include <cassert>
#include <optional>
#include <set>

#include "checkpoint/gguf_header.h"
#include "checkpoint/gguf_types.h"
#include "checkpoint/safetensors_index.h"
#include "io/atomic_file.h"
#include "io/json_text.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexFile = "model.safetensors.index.json";
constexpr std::string_view kSingleFile = "model.safetensors";

bool is_rotary_buffer(std::string_view name) {
  constexpr std::string_view kSuffix = ".rotary_emb.inv_freq";
  return name.size() > kSuffix.size() && name.substr(name.size() - kSuffix.size()) == kSuffix;
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::optional<DataType> data_type_named(std::string_view dtype) {
  for (const DataType type : {DataType::f32, DataType::f16, DataType::bf16}) {
    if (name(type) == dtype) return type;
  }
  return std::nullopt;
}

}  // namespace

TensorStore::TensorStore(const fs::path& path) : path_(path), is_gguf_(is_gguf_path(path)) {
  if (is_gguf_) {
    open_gguf(path);
  } else {
    open_directory(path);
  }
}

void TensorStore::open_gguf(const fs::path& file) {
  files_.emplace_back(file);
  GgufHeader header = parse_gguf_header(files_.back().bytes(), file.string());
  // Gemma-2 alone has norms after attention and MLP, and then other names.
  gguf_post_norms_ = header.find("blk.0.post_attention_norm.weight") != nullptr;
  for (GgufTensor& tensor : header.tensors) {
    std::string name = tensor.name;
    SafetensorsEntry entry{std::move(tensor.name), std::move(tensor.type_name),
                           std::move(tensor.shape), tensor.begin, tensor.end};
    locations_.emplace(std::move(name),
                       Location{0, std::move(entry), tensor.type, header.data_offset});
  }
}

void TensorStore::open_directory(const fs::path& directory) {
  std::error_code ignored;
  if (!fs::is_directory(directory, ignored)) {
    throw Error(fmt::format("{}: {}, expected a checkpoint directory", directory.string(),
                            is_there(directory) ? "is no directory" : "does not exist"));
  }
  const fs::path index = directory / kIndexFile;
  if (!is_there(index)) {
    if (!is_there(directory / kSingleFile)) {
      throw Error(fmt::format("{}: neither {} nor {} is there (other weight formats are not read)",
                              directory.string(), kIndexFile, kSingleFile));
    }
    add_file(directory / kSingleFile, nullptr);
    return;
  }

  const auto shard_of =
      parse_safetensors_index(read_text_file(index, kLargestJsonFile), index.string());
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : shard_of) {
    if (shards.insert(shard).second && !is_there(directory / shard)) {
      throw Error(fmt::format("{}: the file is missing; {} says that it holds tensor {}",
                              (directory / shard).string(), kIndexFile, in_quotes(tensor)));
    }
  }
  for (const std::string& shard : shards) add_file(directory / shard, &shard_of);
  for (const auto& [tensor, shard] : shard_of) {
    if (!contains(tensor)) {
      throw Error(fmt::format("{}: tensor {} is missing; {} says that it is there",
                              (directory / shard).string(), in_quotes(tensor), kIndexFile));
    }
  }
}

void TensorStore::add_file(const fs::path& path,
                           const std::map<std::string, std::string>* shard_of) {
  const std::size_t file = files_.size();
  files_.emplace_back(path);
  SafetensorsHeader header = parse_safetensors_header(files_.back().bytes(), path.string());
  for (SafetensorsEntry& entry : header.entries) {
    if (shard_of != nullptr) {
      const auto listed = shard_of->find(entry.name);
      if (listed == shard_of->end()) {
        if (is_rotary_buffer(entry.name)) continue;
        throw Error(fmt::format("{}: tensor {} is left over: {} does not list it", path.string(),
                                in_quotes(entry.name), kIndexFile));
      }
      if (listed->second != path.filename().string()) {
        throw Error(fmt::format("{}: tensor {} is stored here, but {} says that it is in {}",
                                path.string(), in_quotes(entry.name), kIndexFile,
                                in_quotes(listed->second)));
      }
    }
    std::string name = entry.name;
    const std::optional<DataType> type = data_type_named(entry.dtype);
    locations_.emplace(std::move(name), Location{file, std::move(entry), type, header.data_offset});
  }
}

std::string TensorStore::stored_name(std::string_view name) const {
  return is_gguf_ ? gguf_tensor_name(name, gguf_post_norms_) : std::string(name);
}

const TensorStore::Location* TensorStore::find(std::string_view name) const {
  const auto found = locations_.find(stored_name(name));
  return found == locations_.end() ? nullptr : &found->second;
}

bool TensorStore::contains(std::string_view name) const { return find(name) != nullptr; }

TensorView TensorStore::get(std::string_view name, const std::vector<std::uint64_t>& shape) const {
  const Location* location = find(name);
  if (location == nullptr) {
    std::string searched = files_.front().path().filename().string();
    if (files_.size() == 2) searched += " and ";
    if (files_.size() > 2) searched += " to ";
    if (files_.size() > 1) searched += files_.back().path().filename().string();
    throw Error(fmt::format("{}: tensor {} is missing, expected with shape [{}] (searched {})",
                            path_.string(), in_quotes(stored_name(name)), fmt::join(shape, ", "),
                            searched));
  }
  const MappedFile& file = files_[location->file];
  const SafetensorsEntry& entry = location->entry;
  if (entry.shape != shape) {
    throw Error(fmt::format("{}: tensor {} has shape [{}], expected [{}]", file.path().string(),
                            in_quotes(entry.name), fmt::join(entry.shape, ", "),
                            fmt::join(shape, ", ")));
  }
  if (!location->type) {
    throw Error(fmt::format("{}: tensor {} has {} {}, expected {}", file.path().string(),
                            in_quotes(entry.name), is_gguf_ ? "type" : "dtype",
                            in_quotes(entry.dtype),
                            is_gguf_ ? "one of " + gguf_data_types() : "F32, F16 or BF16"));
  }
  return {entry.name, *location->type, entry.shape, bytes_of(*location)};
}

std::span<const std::byte> TensorStore::bytes_of(const Location& location) const {
  return files_[location.file].bytes().subspan(location.data_offset + location.entry.begin,
                                               location.entry.end - location.entry.begin);
}

std::vector<std::string> TensorStore::names() const {
  std::vector<std::string> names;
  names.reserve(locations_.size());
  for (const auto& [name, location] : locations_) names.push_back(name);
  return names;
}

const fs::path& TensorStore::file_of(std::string_view name) const {
  if (is_gguf_) return files_.front().path();
  const auto found = locations_.find(name);
  assert(found != locations_.end());
  return files_[found->second.file].path();
}

std::vector<fs::path> TensorStore::files() const {
  std::vector<fs::path> paths;
  for (const MappedFile& file : files_) paths.push_back(file.path());
  return paths;
}

std::uint64_t TensorStore::total_bytes() const {
  std::uint64_t total = 0;
  for (const auto& [name, location] : locations_) {
    total += location.entry.end - location.entry.begin;
  }
  return total;
}

std::map<std::string, std::size_t> TensorStore::tensors_by_type() const {
  std::map<std::string, std::size_t> counts;
  for (const auto& [name, location] : locations_) ++counts[location.entry.dtype];
  return counts;
}

void TensorStore::prefetch(std::string_view name) const {
  const Location* location = find(name);
  if (location != nullptr) files_[location->file].prefetch(bytes_of(*location));
}

void TensorStore::release(std::string_view name) const {
  const Location* location = find(name);
  if (location != nullptr) files_[location->file].release(bytes_of(*location));
}

void TensorStore::check_intact() const {
  for (const MappedFile& file : files_) file.check_intact();
}

}  // namespace toplens
