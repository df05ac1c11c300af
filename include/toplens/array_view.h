#pragma once

#include <cassert>
#include <cstddef>
#include <span>
#include <type_traits>

namespace toplens {

/// A row-major matrix that somebody else owns. `stride` is the distance between rows in elements.
template <typename T>
class MatrixView {
 public:
  MatrixView() = default;
  MatrixView(T* data, std::size_t rows, std::size_t columns)
      : MatrixView(data, rows, columns, columns) {}
  MatrixView(T* data, std::size_t rows, std::size_t columns, std::size_t stride)
      : data_(data), rows_(rows), columns_(columns), stride_(stride) {
    assert(stride >= columns);
  }
  /// A view of mutable elements is also a view of constant ones.
  template <typename U>
  requires std::is_same_v<const U, T> MatrixView(
      const MatrixView<U>& other)  // NOLINT(google-explicit-constructor)
      : MatrixView(other.data(), other.rows(), other.columns(), other.stride()) {}

  T* data() const { return data_; }
  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return columns_; }
  std::size_t stride() const { return stride_; }
  bool empty() const { return rows_ == 0 || columns_ == 0; }

  std::span<T> row(std::size_t i) const {
    assert(i < rows_);
    return {data_ + i * stride_, columns_};
  }
  T& operator()(std::size_t i, std::size_t j) const {
    assert(i < rows_ && j < columns_);
    return data_[i * stride_ + j];
  }
  MatrixView row_range(std::size_t first, std::size_t count) const {
    assert(first + count <= rows_);
    return {data_ + first * stride_, count, columns_, stride_};
  }
  MatrixView column_range(std::size_t first, std::size_t count) const {
    assert(first + count <= columns_);
    return {data_ + first, rows_, count, stride_};
  }

 private:
  T* data_ = nullptr;
  std::size_t rows_ = 0;
  std::size_t columns_ = 0;
  std::size_t stride_ = 0;
};

}  // namespace toplens
