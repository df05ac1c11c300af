#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace toplens::testing {

/// Builds the bytes of a GGUF file, whatever they say.
class GgufBytes {
 public:
  enum Type : std::uint32_t {
    u32 = 4,
    i32 = 5,
    f32 = 6,
    boolean = 7,
    text = 8,
    array = 9,
    u64 = 10
  };

  template <typename Number>
  static std::string raw(Number value) {
    std::string bytes(sizeof(value), '\0');
    std::memcpy(bytes.data(), &value, sizeof(value));
    return bytes;
  }
  static std::string raw_text(const std::string& value) {
    return raw<std::uint64_t>(value.size()) + value;
  }

  GgufBytes& key(const std::string& name, std::uint32_t type, const std::string& value_bytes) {
    keys_ += raw_text(name) + raw(type) + value_bytes;
    ++num_keys;
    return *this;
  }
  GgufBytes& key(const std::string& name, const char* value) {
    return key(name, text, raw_text(value));
  }
  GgufBytes& key(const std::string& name, std::uint32_t value) {
    return key(name, u32, raw(value));
  }
  GgufBytes& key(const std::string& name, float value) { return key(name, f32, raw(value)); }
  GgufBytes& key(const std::string& name, bool value) {
    return key(name, boolean, raw<std::uint8_t>(value ? 1 : 0));
  }
  GgufBytes& texts(const std::string& name, const std::vector<std::string>& values) {
    std::string bytes = raw<std::uint32_t>(text) + raw<std::uint64_t>(values.size());
    for (const std::string& value : values) bytes += raw_text(value);
    return key(name, array, bytes);
  }
  template <typename Number>
  GgufBytes& numbers(const std::string& name, std::uint32_t type,
                     const std::vector<Number>& values) {
    std::string bytes = raw(type) + raw<std::uint64_t>(values.size());
    for (const Number value : values) bytes += raw(value);
    return key(name, array, bytes);
  }
  /// Dimensions in the file's order, the fastest first.
  GgufBytes& tensor(const std::string& name, const std::vector<std::uint64_t>& dimensions,
                    std::uint32_t type, std::uint64_t offset) {
    tensors_ += raw_text(name) + raw(static_cast<std::uint32_t>(dimensions.size()));
    for (const std::uint64_t dimension : dimensions) tensors_ += raw(dimension);
    tensors_ += raw(type) + raw(offset);
    ++num_tensors;
    return *this;
  }
  std::string head() const {
    return magic + raw(version) + raw(num_tensors) + raw(num_keys) + keys_ + tensors_;
  }
  std::string bytes(std::size_t data_bytes = 0, std::size_t alignment = 32) const {
    std::string file = head();
    file.resize((file.size() + alignment - 1) / alignment * alignment + data_bytes);
    return file;
  }

  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::uint64_t num_tensors = 0, num_keys = 0;

 private:
  std::string keys_, tensors_;
};

}  // namespace toplens::testing
