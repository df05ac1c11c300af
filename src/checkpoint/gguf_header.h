#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/data_type.h"

namespace toplens {

/// Types of metadata values, numbered as in the file.
enum class GgufType : std::uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  text,
  array,
  u64,
  i64,
  f64
};

/// A metadata value as it lies in the file: of an array the elements, of a text its characters.
struct GgufValue {
  GgufType type = GgufType::u8;  ///< of an array: of its elements
  bool is_array = false;
  std::uint64_t count = 1;  ///< elements of an array
  std::span<const std::byte> bytes;
};

/// The metadata of a GGUF file, checked when it was parsed. Points into the file. Every failure is
/// an Error that names file, key, what was found and what was expected; the reader remembers which
/// keys it was asked for.
class GgufMetadata {
 public:
  GgufMetadata() = default;
  GgufMetadata(std::map<std::string, GgufValue, std::less<>> values, std::string where)
      : values_(std::move(values)), where_(std::move(where)) {}

  bool has(std::string_view key) const { return values_.find(key) != values_.end(); }
  /// An integer of [least, most] of any of the file's integer types; absent: `fallback`, or an
  /// error where there is none. The same for the others.
  std::int64_t integer(std::string_view key, std::int64_t least, std::int64_t most,
                       std::optional<std::int64_t> fallback = {}) const;
  /// A finite number. A float32 counts as the shortest decimal number that rounds to it, which is
  /// what was converted to it: 1e-05, not 9.99999975e-06.
  double number(std::string_view key, std::optional<double> fallback = {}) const;
  bool boolean(std::string_view key, bool fallback) const;
  std::string_view text(std::string_view key) const;
  /// Arrays; must be present.
  std::vector<std::string_view> texts(std::string_view key) const;
  std::vector<float> floats(std::string_view key) const;
  std::vector<std::int64_t> integers(std::string_view key) const;

  std::vector<std::string_view> keys() const;
  [[noreturn]] void fail(std::string_view key, std::string_view expected) const;
  const std::string& where() const { return where_; }

 private:
  const GgufValue& at(std::string_view key) const;
  const GgufValue& array(std::string_view key, std::string_view expected) const;

  std::map<std::string, GgufValue, std::less<>> values_;
  std::string where_;
};

/// What the head of the file says of one tensor.
struct GgufTensor {
  std::string name;
  std::string type_name;             ///< "Q4_K"; "type 99" where it is unknown
  std::optional<DataType> type;      ///< none: a type that is not read
  std::vector<std::uint64_t> shape;  ///< row-major, the file's dimensions in reverse order
  std::uint64_t begin = 0, end = 0;  ///< bytes from data_offset; end = begin for unread types
};

struct GgufHeader {
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;  ///< in the order of the file
  std::uint64_t data_offset = 0;    ///< where the tensors' bytes begin in the file

  const GgufTensor* find(std::string_view name) const;
};

/// Whether MODEL is a GGUF file rather than a checkpoint directory: anything that is a file.
bool is_gguf_path(const std::string& path);

/// Parses and checks everything before the tensors' bytes of a GGUF file of version 3: lengths
/// within the file, no key or tensor twice, offsets aligned, within the file and without overlap,
/// extents as the shapes say. Memory is proportional to the bytes that the file really has. `where`
/// names the file. Throws Error naming file and key or tensor.
GgufHeader parse_gguf_header(std::span<const std::byte> file, const std::string& where);

}  // namespace toplens
