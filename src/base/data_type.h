#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace toplens {

/// Element types of stored weights. Values are little-endian, as in the files.
enum class DataType { f32, f16, bf16 };

inline std::size_t bytes_per_element(DataType type) { return type == DataType::f32 ? 4 : 2; }

inline std::string_view name(DataType type) {
  switch (type) {
    case DataType::f32:
      return "F32";
    case DataType::f16:
      return "F16";
    case DataType::bf16:
      return "BF16";
  }
  return "?";
}

}  // namespace toplens
