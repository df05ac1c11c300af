#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <toplens/array_view.h>

#include "base/data_type.h"

namespace toplens {

/// The arithmetic of the large matrix products: inputs in this type, sums in float32.
enum class ComputeType { f32, bf16 };

/// Whether oneDNN multiplies bfloat16 on this machine at more than reference speed.
bool has_fast_bf16();

/// A stored weight matrix, row-major [outputs, inputs], at any alignment, of any DataType (rows are
/// whole blocks of it).
struct WeightMatrix {
  const std::byte* data = nullptr;
  DataType type = DataType::f32;
  std::size_t rows = 0;     ///< outputs
  std::size_t columns = 0;  ///< inputs
  /// Not 0: rows belong to heads of this many, and within each the first half's rows and the second
  /// half's are stored alternately: 0, h/2, 1, h/2 + 1, ... (GGUF's llama, docs/gguf.md).
  std::size_t interleaved_head = 0;

  /// Where row `i` begins; rows follow each other unless they are interleaved.
  const std::byte* row(std::size_t i) const {
    if (interleaved_head != 0) {
      const std::size_t in_head = i % interleaved_head, half = interleaved_head / 2;
      i += in_head % half * 2 + in_head / half - in_head;
    }
    return data + i * stored_bytes(type, columns);
  }
};

/// Rows of matrix-product input in the compute type, padded with zero rows to whole blocks: every
/// product is of the same number of rows, so no result depends on how rows were batched
/// (docs/numerics.md).
class InputMatrix {
 public:
  InputMatrix(ComputeType type, std::size_t block_rows) : type_(type), block_rows_(block_rows) {}

  /// Makes room for `rows` x `columns`; the padding rows are zeroed, the others keep what was
  /// there.
  void resize(std::size_t rows, std::size_t columns);
  /// Stores float32 values at (row, first_column), rounded to nearest where the type is bf16.
  void store(std::size_t row, std::size_t first_column, std::span<const float> values);

  ComputeType type() const { return type_; }
  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return columns_; }
  std::size_t block_rows() const { return block_rows_; }
  std::size_t blocks() const { return (rows_ + block_rows_ - 1) / block_rows_; }
  const void* block(std::size_t index) const;

 private:
  ComputeType type_;
  std::size_t block_rows_;
  std::size_t rows_ = 0;
  std::size_t columns_ = 0;
  std::vector<float> f32_;
  std::vector<std::uint16_t> bf16_;
};

/// A product treats all its rows alike, wherever they stand in it, where their number is a multiple
/// of this.
std::size_t product_row_unit();

/// One worker's matrix multiplier: oneDNN primitives of the shapes met so far and a converted
/// weight slice. Not shared between threads.
class BlockMultiplier {
 public:
  explicit BlockMultiplier(ComputeType type);
  ~BlockMultiplier();
  BlockMultiplier(BlockMultiplier&&) noexcept;

  /// out[block_rows, count] = block x weights[first .. first + count)^T, dense. A conversion of the
  /// weight slice is kept until another slice is asked for in the same slot (0 or 1).
  void multiply(const void* block, std::size_t block_rows, const WeightMatrix& weights,
                std::size_t first_output, std::size_t count, float* out, int slot = 0);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// C [m, n] = A [m, k] x B^T, or x B where `transposed` is false, all float32 and row-major with
/// the views' strides, on the calling thread. B is [n, k] when transposed, else [k, n].
void multiply_f32(MatrixView<const float> a, MatrixView<const float> b, bool transposed,
                  MatrixView<float> c);

}  // namespace toplens
