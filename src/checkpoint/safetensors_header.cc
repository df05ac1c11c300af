#include <fmt/format.h>
#include <toplens/error.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/narrow.h"
#include "checkpoint/tensor_store.h"
#include "io/json_text.h"

namespace toplens {
namespace {

// The reference implementation's limit.
constexpr std::uint64_t kLargestHeader = 100'000'000;
constexpr std::size_t kLengthBytes = 8;

const std::map<std::string, std::uint64_t, std::less<>>& dtype_bytes() {
  static const std::map<std::string, std::uint64_t, std::less<>> table = {
      {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"I32", 4}, {"I16", 2},
      {"I8", 1},  {"U64", 8}, {"U32", 4}, {"U16", 2},  {"U8", 1},  {"BOOL", 1}};
  return table;
}

class EntryParser {
 public:
  EntryParser(const std::string& where, const std::string& name) : where_(where), name_(name) {}

  SafetensorsEntry parse(const nlohmann::json& value) const {
    if (!value.is_object()) fail(fmt::format("is {}, expected an object", described(value)));
    for (const auto& [key, unused] : value.items()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        fail(fmt::format("has the unknown key {} (known: dtype, shape, data_offsets)",
                         in_quotes(key)));
      }
    }
    SafetensorsEntry entry;
    entry.name = name_;
    const nlohmann::json& dtype = member(value, "dtype");
    if (!dtype.is_string()) fail(fmt::format("dtype is {}, expected a string", described(dtype)));
    entry.dtype = dtype.get<std::string>();
    entry.shape = unsigned_list(value, "shape");
    const std::vector<std::uint64_t> offsets = unsigned_list(value, "data_offsets");
    if (offsets.size() != 2) {
      fail(fmt::format("data_offsets has {} numbers, expected 2", offsets.size()));
    }
    entry.begin = offsets[0];
    entry.end = offsets[1];
    return entry;
  }

  void check_extent(const SafetensorsEntry& entry, std::uint64_t data_bytes) const {
    if (entry.begin > entry.end) {
      fail(fmt::format("data_offsets [{}, {}] are not in order", entry.begin, entry.end));
    }
    if (entry.end > data_bytes) {
      fail(
          fmt::format("data_offsets [{}, {}] go beyond the {} bytes of data that the file holds "
                      "(is it truncated?)",
                      entry.begin, entry.end, data_bytes));
    }
    const auto element = dtype_bytes().find(entry.dtype);
    if (element == dtype_bytes().end()) return;  // TensorStore::get refuses it if it is needed
    std::uint64_t expected = element->second;
    const bool has_zero = std::count(entry.shape.begin(), entry.shape.end(), 0u) > 0;
    if (has_zero) expected = 0;
    for (const std::uint64_t dimension : entry.shape) {
      if (!has_zero && !checked_multiply(expected, dimension, expected)) {
        fail("its shape's number of bytes overflows 64 bits");
      }
    }
    if (expected != entry.end - entry.begin) {
      fail(fmt::format("data_offsets [{}, {}] hold {} bytes, but shape [{}] of {} needs {}",
                       entry.begin, entry.end, entry.end - entry.begin,
                       fmt::join(entry.shape, ", "), entry.dtype, expected));
    }
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{}: tensor {}: {}", where_, in_quotes(name_), what));
  }

 private:
  const nlohmann::json& member(const nlohmann::json& value, const char* key) const {
    const auto found = value.find(key);
    if (found == value.end()) fail(fmt::format("{} is missing", key));
    return *found;
  }
  std::vector<std::uint64_t> unsigned_list(const nlohmann::json& value, const char* key) const {
    const nlohmann::json& list = member(value, key);
    if (!list.is_array()) fail(fmt::format("{} is {}, expected a list", key, described(list)));
    std::vector<std::uint64_t> numbers;
    for (const nlohmann::json& item : list) {
      if (!item.is_number_unsigned()) {
        fail(fmt::format("{} contains {}, expected integers of 0 or more", key, described(item)));
      }
      numbers.push_back(item.get<std::uint64_t>());
    }
    return numbers;
  }

  const std::string& where_;
  const std::string& name_;
};

/// Tensors must fill the data exactly, as the reference implementation demands.
void check_coverage(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_bytes,
                    const std::string& where) {
  std::uint64_t covered = 0;
  const SafetensorsEntry* previous = nullptr;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin < covered) {
      EntryParser(where, entry.name)
          .fail(fmt::format("begins at byte {} of the data and overlaps {}, which ends at {}",
                            entry.begin, in_quotes(previous->name), covered));
    }
    if (entry.begin > covered) {
      EntryParser(where, entry.name)
          .fail(fmt::format("begins at byte {} of the data, which leaves a hole after byte {}",
                            entry.begin, covered));
    }
    covered = entry.end;
    previous = &entry;
  }
  if (covered != data_bytes) {
    throw Error(fmt::format("{}: {} bytes follow the last tensor, expected none", where,
                            data_bytes - covered));
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           const std::string& where) {
  if (file.size() < kLengthBytes) {
    throw Error(fmt::format("{}: {} bytes, too short for a safetensors file", where, file.size()));
  }
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    length |= std::to_integer<std::uint64_t>(file[i]) << (8 * i);
  }
  const std::uint64_t rest = file.size() - kLengthBytes;
  if (length > rest) {
    throw Error(
        fmt::format("{}: the header should have {} bytes, but only {} follow its length "
                    "(truncated, or not a safetensors file)",
                    where, length, rest));
  }
  if (length > kLargestHeader) {
    throw Error(
        fmt::format("{}: the header has {} bytes, the limit is {}", where, length, kLargestHeader));
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
  const nlohmann::json json = parse_json(text, where + ": header");
  if (!json.is_object()) {
    throw Error(fmt::format("{}: header is {}, expected an object", where, described(json)));
  }

  SafetensorsHeader header;
  header.data_offset = kLengthBytes + length;
  const std::uint64_t data_bytes = file.size() - header.data_offset;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") continue;
    const EntryParser parser(where, name);
    header.entries.push_back(parser.parse(value));
    parser.check_extent(header.entries.back(), data_bytes);
  }
  std::sort(header.entries.begin(), header.entries.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
              return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
            });
  check_coverage(header.entries, data_bytes, where);
  return header;
}

}  // namespace toplens
