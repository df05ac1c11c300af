#include "checkpoint/tensor_store.h"

#include <fmt/format.h>
#include <toplens/error.h>

#include <algorithm>
#include <cassert>
#include <optional>
#include <set>

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

TensorStore::TensorStore(const fs::path& directory) : directory_(directory) {
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

  const auto shard_of = parse_safetensors_index(read_text_file(index), index.string());
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
    locations_.emplace(std::move(name), Location{file, std::move(entry), header.data_offset});
  }
}

bool TensorStore::contains(std::string_view name) const {
  return locations_.find(name) != locations_.end();
}

TensorView TensorStore::get(std::string_view name, const std::vector<std::uint64_t>& shape) const {
  const auto found = locations_.find(name);
  if (found == locations_.end()) {
    std::string searched = files_.front().path().filename().string();
    if (files_.size() == 2) searched += " and ";
    if (files_.size() > 2) searched += " to ";
    if (files_.size() > 1) searched += files_.back().path().filename().string();
    throw Error(fmt::format("{}: tensor {} is missing, expected with shape [{}] (searched {})",
                            directory_.string(), in_quotes(name), fmt::join(shape, ", "),
                            searched));
  }
  const Location& location = found->second;
  const MappedFile& file = files_[location.file];
  const SafetensorsEntry& entry = location.entry;
  if (entry.shape != shape) {
    throw Error(fmt::format("{}: tensor {} has shape [{}], expected [{}]", file.path().string(),
                            in_quotes(name), fmt::join(entry.shape, ", "), fmt::join(shape, ", ")));
  }
  const std::optional<DataType> type = data_type_named(entry.dtype);
  if (!type) {
    throw Error(fmt::format("{}: tensor {} has dtype {}, expected F32, F16 or BF16",
                            file.path().string(), in_quotes(name), in_quotes(entry.dtype)));
  }
  return {entry.name, *type, entry.shape, bytes_of(location)};
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

void TensorStore::prefetch(std::string_view name) const {
  const auto found = locations_.find(name);
  if (found == locations_.end()) return;
  files_[found->second.file].prefetch(bytes_of(found->second));
}

void TensorStore::release(std::string_view name) const {
  const auto found = locations_.find(name);
  if (found == locations_.end()) return;
  files_[found->second.file].release(bytes_of(found->second));
}

void TensorStore::check_intact() const {
  for (const MappedFile& file : files_) file.check_intact();
}

}  // namespace toplens
