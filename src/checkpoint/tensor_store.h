#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/data_type.h"
#include "io/mapped_file.h"

namespace toplens {

/// One stored tensor: row-major, bytes point into the mapped file.
struct TensorView {
  std::string name;
  DataType type = DataType::f32;
  std::vector<std::uint64_t> shape;
  std::span<const std::byte> bytes;
};

/// What the header of a safetensors file says of one tensor.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;  ///< as written: "F32", "I64", ...
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0;  ///< bytes from the end of the header
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  ///< by offset
  std::uint64_t data_offset = 0;          ///< where the tensors' bytes begin in the file
};

/// Parses and checks the head of a safetensors file: length within the file, valid JSON, offsets in
/// range, no holes before the first or between tensors, no overlap, no duplicate names, and for the
/// known dtypes the extent equals the shape's. `where` names the
/// file. Throws Error naming file and tensor.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           const std::string& where);

/// The tensors of a checkpoint: of a directory `model.safetensors.index.json` and its shards, else
/// `model.safetensors`; never a glob. Or those of a GGUF file, asked for by Hugging Face's names.
/// Shard names must be plain file names (no path separators), and index and shards must agree on
/// the tensors, except for `*.rotary_emb.inv_freq`, which old checkpoints carry and nobody reads.
/// Files are memory-mapped.
class TensorStore {
 public:
  /// `path`: a directory, or a GGUF file.
  explicit TensorStore(const std::filesystem::path& path);

  /// Whether the checkpoint has a tensor of this name.
  bool contains(std::string_view name) const;
  /// What the files call the tensor that Hugging Face calls `name`: the same, except in GGUF.
  std::string stored_name(std::string_view name) const;
  /// The tensor, which must have exactly this shape and a dtype of DataType. Throws Error naming
  /// the tensor, its file, what was found and what was expected; if it is absent, also naming the
  /// files searched.
  TensorView get(std::string_view name, const std::vector<std::uint64_t>& shape) const;
  /// All names as stored, sorted.
  std::vector<std::string> names() const;
  /// The file that holds a tensor of names() in a directory, or of any name in a GGUF file.
  const std::filesystem::path& file_of(std::string_view name) const;
  /// Files that hold the tensors, by name, and the total bytes of all tensors.
  std::vector<std::filesystem::path> files() const;
  std::uint64_t total_bytes() const;
  /// "safetensors" or "GGUF", and the number of tensors of each type, as the files name it.
  std::string_view format() const { return is_gguf_ ? "GGUF" : "safetensors"; }
  std::map<std::string, std::size_t> tensors_by_type() const;

  /// Asks the system to read the tensor ahead, or lets it take the tensor's pages back. Names that
  /// are absent are ignored.
  void prefetch(std::string_view name) const;
  void release(std::string_view name) const;
  /// Throws Error naming a file that could not be read or changed its length since it was opened.
  void check_intact() const;

 private:
  struct Location {
    std::size_t file = 0;
    SafetensorsEntry entry;
    std::optional<DataType> type;  ///< none: a dtype that is not read
    std::uint64_t data_offset = 0;
  };
  void open_directory(const std::filesystem::path& directory);
  void open_gguf(const std::filesystem::path& file);
  const Location* find(std::string_view name) const;
  std::span<const std::byte> bytes_of(const Location& location) const;
  /// Maps a file; `shard_of` (null for a single file) says which tensors the index puts there.
  void add_file(const std::filesystem::path& path,
                const std::map<std::string, std::string>* shard_of);

  std::filesystem::path path_;
  bool is_gguf_ = false;
  bool gguf_post_norms_ = false;
  std::vector<MappedFile> files_;
  std::map<std::string, Location, std::less<>> locations_;
};

}  // namespace toplens
