#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace toplens {

/// Element types of stored weights. Values are little-endian, as in the files. The quantised ones
/// are GGUF's (docs/gguf.md): rows are whole blocks of elements that share their scales.
enum class DataType { f32, f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0, q4_k, q5_k, q6_k };

/// How many elements a type stores together, and in how many bytes.
struct BlockLayout {
  std::size_t elements = 1;
  std::size_t bytes = 0;
};

constexpr BlockLayout block_layout(DataType type) {
  switch (type) {
    case DataType::f32:
      return {1, 4};
    case DataType::f16:
    case DataType::bf16:
      return {1, 2};
    case DataType::q4_0:
      return {32, 18};
    case DataType::q4_1:
      return {32, 20};
    case DataType::q5_0:
      return {32, 22};
    case DataType::q5_1:
      return {32, 24};
    case DataType::q8_0:
      return {32, 34};
    case DataType::q4_k:
      return {256, 144};
    case DataType::q5_k:
      return {256, 176};
    case DataType::q6_k:
      return {256, 210};
  }
  return {};
}

constexpr bool is_quantized(DataType type) { return block_layout(type).elements > 1; }

/// Bytes of `elements` stored elements, which must be whole blocks.
inline std::size_t stored_bytes(DataType type, std::size_t elements) {
  const BlockLayout block = block_layout(type);
  assert(elements % block.elements == 0);
  return elements / block.elements * block.bytes;
}

/// Of a type that is not quantised.
inline std::size_t bytes_per_element(DataType type) {
  assert(!is_quantized(type));
  return block_layout(type).bytes;
}

inline std::string_view name(DataType type) {
  switch (type) {
    case DataType::f32:
      return "F32";
    case DataType::f16:
      return "F16";
    case DataType::bf16:
      return "BF16";
    case DataType::q4_0:
      return "Q4_0";
    case DataType::q4_1:
      return "Q4_1";
    case DataType::q5_0:
      return "Q5_0";
    case DataType::q5_1:
      return "Q5_1";
    case DataType::q8_0:
      return "Q8_0";
    case DataType::q4_k:
      return "Q4_K";
    case DataType::q5_k:
      return "Q5_K";
    case DataType::q6_k:
      return "Q6_K";
  }
  return "?";
}

}  // namespace toplens
