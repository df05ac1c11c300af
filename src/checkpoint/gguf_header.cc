#include "checkpoint/gguf_header.h"

#include <fmt/format.h>
#include <toplens/error.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/narrow.h"
#include "checkpoint/gguf_types.h"
#include "io/json_text.h"

namespace toplens {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::uint32_t kVersion = 3;
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kLargestAlignment = 1 << 20;
constexpr std::uint32_t kMostDimensions = 4;  // ggml's
// Far beyond any model. Together with the lengths, which are checked against the file, these bound
// the memory.
constexpr std::uint64_t kMostKeys = 1 << 16;
constexpr std::uint64_t kMostTensors = 1 << 20;
constexpr std::uint64_t kLongestName = 65535;

/// Reads from the front of the file.
class Cursor {
 public:
  Cursor(std::span<const std::byte> file, const std::string& where) : file_(file), where_(where) {}

  /// The next `count` bytes; `what` says for messages what they are.
  std::span<const std::byte> take(std::uint64_t count, std::string_view what) {
    if (count > file_.size() - at_) {
      throw Error(
          fmt::format("{}: {} needs {} bytes at byte {}, but the file has {} (is it "
                      "truncated?)",
                      where_, what, count, at_, file_.size()));
    }
    const std::span<const std::byte> taken = file_.subspan(at_, count);
    at_ += count;
    return taken;
  }
  template <typename Number>
  Number number(std::string_view what) {
    Number value = 0;
    std::memcpy(&value, take(sizeof(value), what).data(), sizeof(value));
    return value;
  }
  std::string_view text(std::string_view what) {
    const auto length = number<std::uint64_t>(what);
    const std::span<const std::byte> bytes = take(length, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::string name(std::string_view what) {
    const std::string_view name = text(what);
    if (name.empty() || name.size() > kLongestName) {
      throw Error(fmt::format("{}: {} has {} bytes, expected 1 to {}", where_, what, name.size(),
                              kLongestName));
    }
    return std::string(name);
  }
  std::uint64_t position() const { return at_; }
  std::span<const std::byte> since(std::uint64_t begin) const {
    return file_.subspan(begin, at_ - begin);
  }

 private:
  std::span<const std::byte> file_;
  const std::string& where_;
  std::uint64_t at_ = 0;
};

GgufType read_type(Cursor& cursor, const std::string& what, const std::string& where) {
  const auto type = cursor.number<std::uint32_t>(what);
  if (type > static_cast<std::uint32_t>(GgufType::f64)) {
    throw Error(fmt::format("{}: {} is of type {}, expected 0 to 12", where, what, type));
  }
  return static_cast<GgufType>(type);
}

GgufValue read_value(Cursor& cursor, const std::string& what, const std::string& where) {
  GgufValue value;
  value.type = read_type(cursor, what, where);
  value.is_array = value.type == GgufType::array;
  if (value.is_array) {
    value.type = read_type(cursor, what, where);
    if (value.type == GgufType::array) {
      throw Error(fmt::format("{}: {} is an array of arrays, which is not supported", where, what));
    }
    value.count = cursor.number<std::uint64_t>(what);
  }
  if (value.type != GgufType::text) {
    std::uint64_t bytes = 0;
    if (!checked_multiply(value.count, gguf_type_bytes(value.type), bytes)) {
      throw Error(fmt::format("{}: {} has {} elements, more than 64 bits of bytes", where, what,
                              value.count));
    }
    value.bytes = cursor.take(bytes, what);
    return value;
  }
  const std::uint64_t begin = cursor.position();
  for (std::uint64_t i = 0; i < value.count; ++i) (void)cursor.text(what);
  value.bytes = cursor.since(begin);
  if (!value.is_array) value.bytes = value.bytes.subspan(sizeof(std::uint64_t));
  return value;
}

std::uint64_t read_count(Cursor& cursor, std::string_view what, std::uint64_t most,
                         const std::string& where) {
  const auto count = cursor.number<std::uint64_t>(what);
  if (count > most) {
    throw Error(fmt::format("{}: {} is {}, expected at most {}", where, what, count, most));
  }
  return count;
}

/// The bytes that a tensor takes, by its shape; 0 for types that are not read.
std::uint64_t extent(const GgufTensor& tensor, const std::string& where) {
  const auto fail = [&](const std::string& what) {
    throw Error(fmt::format("{}: tensor {}: {}", where, in_quotes(tensor.name), what));
  };
  std::uint64_t elements = 1;
  for (const std::uint64_t dimension : tensor.shape) {
    if (dimension == 0) fail("a dimension is 0");
    if (!checked_multiply(elements, dimension, elements) ||
        elements > std::uint64_t{1} << 60) {  // so that no number of bytes overflows
      fail(fmt::format("shape [{}] has more than 2^60 elements", fmt::join(tensor.shape, ", ")));
    }
  }
  if (!tensor.type) return 0;
  const BlockLayout block = block_layout(*tensor.type);
  if (tensor.shape.back() % block.elements != 0) {
    fail(fmt::format("rows of {} elements are no whole blocks of {} ({})", tensor.shape.back(),
                     block.elements, tensor.type_name));
  }
  return elements / block.elements * block.bytes;
}

GgufTensor read_tensor(Cursor& cursor, std::uint64_t index, const std::string& where) {
  GgufTensor tensor;
  tensor.name = cursor.name(fmt::format("the name of tensor {}", index));
  const std::string what = fmt::format("tensor {}", in_quotes(tensor.name));
  const auto dimensions = cursor.number<std::uint32_t>(what);
  if (dimensions < 1 || dimensions > kMostDimensions) {
    throw Error(fmt::format("{}: {} has {} dimensions, expected 1 to {}", where, what, dimensions,
                            kMostDimensions));
  }
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    tensor.shape.insert(tensor.shape.begin(), cursor.number<std::uint64_t>(what));
  }
  const auto type = cursor.number<std::uint32_t>(what);
  tensor.type = gguf_data_type(type);
  tensor.type_name = gguf_tensor_type_name(type);
  tensor.begin = cursor.number<std::uint64_t>(what);
  if (!checked_add(tensor.begin, extent(tensor, where), tensor.end)) {
    throw Error(
        fmt::format("{}: {}: offset {} and its size overflow 64 bits", where, what, tensor.begin));
  }
  return tensor;
}

void check_places(const std::vector<GgufTensor>& tensors, std::uint64_t alignment,
                  std::uint64_t data_bytes, const std::string& where) {
  std::vector<const GgufTensor*> by_offset;
  for (const GgufTensor& tensor : tensors) {
    const auto fail = [&](const std::string& what) {
      throw Error(fmt::format("{}: tensor {}: {}", where, in_quotes(tensor.name), what));
    };
    if (tensor.begin % alignment != 0) {
      fail(fmt::format("offset {} is no multiple of the alignment, {}", tensor.begin, alignment));
    }
    if (tensor.end > data_bytes) {
      fail(
          fmt::format("bytes {} to {} go beyond the {} bytes of data that the file holds (is it "
                      "truncated?)",
                      tensor.begin, tensor.end, data_bytes));
    }
    by_offset.push_back(&tensor);
  }
  std::sort(by_offset.begin(), by_offset.end(), [](const GgufTensor* a, const GgufTensor* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  for (std::size_t i = 1; i < by_offset.size(); ++i) {
    if (by_offset[i]->begin < by_offset[i - 1]->end) {
      throw Error(fmt::format("{}: tensors {} and {} overlap at byte {} of the data", where,
                              in_quotes(by_offset[i - 1]->name), in_quotes(by_offset[i]->name),
                              by_offset[i]->begin));
    }
  }
}

void check_start(Cursor& cursor, const std::string& where) {
  const std::span<const std::byte> magic = cursor.take(4, "a GGUF file's head");
  if (std::memcmp(magic.data(), "GGUF", 4) != 0) {
    throw Error(
        fmt::format("{}: not a GGUF file (it does not begin with 'GGUF'); expected a "
                    "checkpoint directory or a .gguf file",
                    where));
  }
  const auto version = cursor.number<std::uint32_t>("the version");
  if (version == kVersion) return;
  throw Error(fmt::format(
      "{}: GGUF version {}, expected {}{}", where, version == kVersion << 24 ? kVersion : version,
      kVersion,
      version == kVersion << 24 ? " in little-endian order" : "; convert the model anew"));
}

}  // namespace

const GgufTensor* GgufHeader::find(std::string_view name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const GgufTensor& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

bool is_gguf_path(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

GgufHeader parse_gguf_header(std::span<const std::byte> file, const std::string& where) {
  Cursor cursor(file, where);
  check_start(cursor, where);
  const std::uint64_t num_tensors =
      read_count(cursor, "the number of tensors", kMostTensors, where);
  const std::uint64_t num_keys = read_count(cursor, "the number of keys", kMostKeys, where);

  std::map<std::string, GgufValue, std::less<>> values;
  for (std::uint64_t i = 0; i < num_keys; ++i) {
    std::string key = cursor.name(fmt::format("the name of key {}", i));
    const std::string what = fmt::format("key {}", in_quotes(key));
    const GgufValue value = read_value(cursor, what, where);
    if (!values.emplace(std::move(key), value).second) {
      throw Error(fmt::format("{}: {} occurs twice", where, what));
    }
  }
  GgufHeader header;
  header.metadata = GgufMetadata(std::move(values), where);

  std::set<std::string_view> names;
  for (std::uint64_t i = 0; i < num_tensors; ++i) {
    header.tensors.push_back(read_tensor(cursor, i, where));
  }
  for (const GgufTensor& tensor : header.tensors) {
    if (!names.insert(tensor.name).second) {
      throw Error(fmt::format("{}: tensor {} occurs twice", where, in_quotes(tensor.name)));
    }
  }

  const auto alignment = static_cast<std::uint64_t>(
      header.metadata.integer("general.alignment", 1, kLargestAlignment, kDefaultAlignment));
  if (!std::has_single_bit(alignment)) {
    header.metadata.fail("general.alignment", "a power of two");
  }
  header.data_offset = (cursor.position() + alignment - 1) / alignment * alignment;
  const std::uint64_t data_bytes =
      file.size() - std::min<std::uint64_t>(header.data_offset, file.size());
  check_places(header.tensors, alignment, data_bytes, where);
  return header;
}

}  // namespace toplens
