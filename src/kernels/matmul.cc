#include "kernels/matmul.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <map>
#include <tuple>

#include <fmt/format.h>
#include <toplens/error.h>
#include <dnnl.hpp>

#include "kernels/convert.h"
#include "kernels/simd_level.h"

namespace toplens {
namespace {

using Shape = std::tuple<std::size_t, std::size_t, std::size_t>;  // rows, outputs, inputs

dnnl::memory::dim dimension(std::size_t value) { return static_cast<dnnl::memory::dim>(value); }

}  // namespace

bool has_fast_bf16() {
  // The enumerators are bit sets: each instruction set includes those before it.
  const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto avx512 = static_cast<unsigned>(dnnl::cpu_isa::avx512_core);
  return (isa & avx512) == avx512;
}

void InputMatrix::resize(std::size_t rows, std::size_t columns) {
  rows_ = rows;
  columns_ = columns;
  const std::size_t padded = blocks() * block_rows_ * columns;
  const std::size_t used = rows * columns;
  // Grows only: first touch of fresh memory is slow on virtual machines.
  if (type_ == ComputeType::f32) {
    if (f32_.size() < padded) f32_.resize(padded);
    std::fill(f32_.begin() + static_cast<std::ptrdiff_t>(used),
              f32_.begin() + static_cast<std::ptrdiff_t>(padded), 0.0f);
  } else {
    if (bf16_.size() < padded) bf16_.resize(padded);
    std::fill(bf16_.begin() + static_cast<std::ptrdiff_t>(used),
              bf16_.begin() + static_cast<std::ptrdiff_t>(padded), Bf16{0});
  }
}

void InputMatrix::store(std::size_t row, std::size_t first_column, std::span<const float> values) {
  assert(row < rows_ && first_column + values.size() <= columns_);
  const std::size_t at = row * columns_ + first_column;
  if (type_ == ComputeType::f32) {
    std::copy(values.begin(), values.end(), f32_.begin() + static_cast<std::ptrdiff_t>(at));
  } else {
    convert_to_bf16(values, std::span(bf16_).subspan(at, values.size()));
  }
}

const void* InputMatrix::block(std::size_t index) const {
  const std::size_t at = index * block_rows_ * columns_;
  return type_ == ComputeType::f32 ? static_cast<const void*>(f32_.data() + at)
                                   : static_cast<const void*>(bf16_.data() + at);
}

std::size_t product_row_unit() {
  // oneDNN 2.6 for AVX2 takes six rows at a time in float32, and sums what is left of a number that
  // is no multiple of 6 in another order; its other code takes powers of two.
  const bool by_six = matrix_product_level().rfind("avx2", 0) == 0;
  return by_six ? 192 : 64;
}

struct BlockMultiplier::State {
  struct Product {
    dnnl::inner_product_forward primitive;
    dnnl::memory source, weights, destination;
  };
  struct Slice {
    const std::byte* first_row = nullptr;
    std::size_t elements = 0;
    std::vector<float> f32;
    std::vector<Bf16> bf16;
  };

  ComputeType type;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<Shape, Product> products;
  std::array<Slice, 2> slices;

  Product& product(std::size_t rows, std::size_t outputs, std::size_t inputs) {
    const Shape shape(rows, outputs, inputs);
    const auto found = products.find(shape);
    if (found != products.end()) return found->second;
    using Memory = dnnl::memory;
    const auto input_type =
        type == ComputeType::f32 ? Memory::data_type::f32 : Memory::data_type::bf16;
    const auto plain = Memory::format_tag::ab;
    const Memory::desc source({dimension(rows), dimension(inputs)}, input_type, plain);
    const Memory::desc weights({dimension(outputs), dimension(inputs)}, input_type, plain);
    const Memory::desc out({dimension(rows), dimension(outputs)}, Memory::data_type::f32, plain);
    const dnnl::inner_product_forward::desc description(dnnl::prop_kind::forward_inference, source,
                                                        weights, out);
    const dnnl::inner_product_forward::primitive_desc primitive(description, engine);
    return products
        .emplace(shape,
                 Product{dnnl::inner_product_forward(primitive), Memory(source, engine, nullptr),
                         Memory(weights, engine, nullptr), Memory(out, engine, nullptr)})
        .first->second;
  }

  /// Converts `count` rows from `first` on; neighbours in one go where they are stored as such.
  template <typename Convert>
  static void convert_rows(const WeightMatrix& matrix, std::size_t first, std::size_t count,
                           const Convert& convert) {
    const std::size_t step = matrix.interleaved_head == 0 ? count : 1;
    for (std::size_t i = 0; i < count; i += step) {
      convert(matrix.row(first + i), i * matrix.columns, step * matrix.columns);
    }
  }

  /// The slice's rows in the compute type: where they lie if they are of that type, else converted.
  void* converted(const WeightMatrix& matrix, std::size_t first, std::size_t count, int slot) {
    const std::byte* row = matrix.row(first);
    const DataType wanted = type == ComputeType::f32 ? DataType::f32 : DataType::bf16;
    if (matrix.type == wanted && matrix.interleaved_head == 0) return const_cast<std::byte*>(row);
    Slice& slice = slices[static_cast<std::size_t>(slot)];
    const std::size_t elements = count * matrix.columns;
    const bool is_f32 = wanted == DataType::f32;
    if (slice.first_row != row || slice.elements != elements) {
      slice.first_row = row;
      slice.elements = elements;
      if (is_f32) {
        if (slice.f32.size() < elements) slice.f32.resize(elements);
        convert_rows(matrix, first, count, [&](const std::byte* from, auto at, auto size) {
          convert_to_f32(from, matrix.type, std::span(slice.f32).subspan(at, size));
        });
      } else {
        if (slice.bf16.size() < elements) slice.bf16.resize(elements);
        convert_rows(matrix, first, count, [&](const std::byte* from, auto at, auto size) {
          convert_to_bf16(from, matrix.type, std::span(slice.bf16).subspan(at, size));
        });
      }
    }
    return is_f32 ? static_cast<void*>(slice.f32.data()) : static_cast<void*>(slice.bf16.data());
  }
};

BlockMultiplier::BlockMultiplier(ComputeType type) : state_(std::make_unique<State>()) {
  state_->type = type;
}
BlockMultiplier::~BlockMultiplier() = default;
BlockMultiplier::BlockMultiplier(BlockMultiplier&&) noexcept = default;

void BlockMultiplier::multiply(const void* block, std::size_t block_rows,
                               const WeightMatrix& weights, std::size_t first_output,
                               std::size_t count, float* out, int slot) {
  assert(first_output + count <= weights.rows);
  State& state = *state_;
  try {
    State::Product& product = state.product(block_rows, count, weights.columns);
    product.source.set_data_handle(const_cast<void*>(block));
    product.weights.set_data_handle(state.converted(weights, first_output, count, slot));
    product.destination.set_data_handle(out);
    product.primitive.execute(state.stream, {{DNNL_ARG_SRC, product.source},
                                             {DNNL_ARG_WEIGHTS, product.weights},
                                             {DNNL_ARG_DST, product.destination}});
    state.stream.wait();
  } catch (const dnnl::error& error) {
    throw Error(fmt::format("matrix product of {} x {} by {} x {} failed in oneDNN: {}", block_rows,
                            weights.columns, count, weights.columns, error.what()));
  }
}

void multiply_f32(MatrixView<const float> a, MatrixView<const float> b, bool transposed,
                  MatrixView<float> c) {
  assert(a.rows() == c.rows());
  assert(transposed ? a.columns() == b.columns() && b.rows() == c.columns()
                    : a.columns() == b.rows() && b.columns() == c.columns());
  const dnnl_status_t status =
      dnnl_sgemm('N', transposed ? 'T' : 'N', dimension(a.rows()), dimension(c.columns()),
                 dimension(a.columns()), 1.0f, a.data(), dimension(a.stride()), b.data(),
                 dimension(b.stride()), 0.0f, c.data(), dimension(c.stride()));
  if (status != dnnl_success) {
    throw Error(fmt::format("float32 product of {} x {} x {} failed in oneDNN with status {}",
                            a.rows(), a.columns(), c.columns(), static_cast<int>(status)));
  }
}

}  // namespace toplens
