#include "kernels/gram.h"

#include <algorithm>
#include <cassert>

// Arrays of vectors do not exist on targets whose vector size is unknown to the compiler.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gram.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace toplens::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using F64 = hn::CappedTag<double, kLaneBlock>;

// Accumulators live in registers: rows x vectors of them, and 32 registers exist from AVX-512 on.
#if HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON
constexpr std::size_t kVectors = 4;
#else
constexpr std::size_t kVectors = 2;
#endif
constexpr std::size_t kMaxRows = 6;

/// kRows left vectors times kVectors SIMD vectors of right ones.
template <std::size_t kRows>
HWY_INLINE void block_products(const double* HWY_RESTRICT left, const double* HWY_RESTRICT right,
                               std::size_t dimension, double* HWY_RESTRICT out,
                               std::size_t out_stride) {
  const F64 d;
  const std::size_t lanes = hn::Lanes(d);
  hn::Vec<F64> sum[kRows][kVectors];
  for (std::size_t r = 0; r < kRows; ++r) {
    for (std::size_t v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);
  }
  for (std::size_t c = 0; c < dimension; ++c) {
    hn::Vec<F64> column[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) column[v] = hn::Load(d, right + v * lanes);
    for (std::size_t r = 0; r < kRows; ++r) {
      const hn::Vec<F64> row = hn::Set(d, left[r]);
      for (std::size_t v = 0; v < kVectors; ++v) {
        sum[r][v] = hn::MulAdd(row, column[v], sum[r][v]);
      }
    }
    left += kPanelColumns;
    right += kPanelColumns;
  }
  for (std::size_t r = 0; r < kRows; ++r) {
    for (std::size_t v = 0; v < kVectors; ++v) {
      hn::StoreU(sum[r][v], d, out + r * out_stride + v * lanes);
    }
  }
}

template <std::size_t kRows>
void row_block(const double* left, const double* right, std::size_t dimension, double* out,
               std::size_t out_stride) {
  const std::size_t step = kVectors * hn::Lanes(F64());
  static_assert(kPanelColumns % (kVectors * kLaneBlock) == 0);
  for (std::size_t j = 0; j < kPanelColumns; j += step) {
    block_products<kRows>(left, right + j, dimension, out + j, out_stride);
  }
}

void panel_products(const double* left, std::size_t rows, const double* right,
                    std::size_t dimension, double* out, std::size_t out_stride) {
  // Blocks of nearly equal height: 9 rows are 5 + 4, not 6 + 3.
  std::size_t blocks = (rows + kMaxRows - 1) / kMaxRows;
  while (rows > 0) {
    const std::size_t height = (rows + blocks - 1) / blocks;
    switch (height) {
      case 1:
        row_block<1>(left, right, dimension, out, out_stride);
        break;
      case 2:
        row_block<2>(left, right, dimension, out, out_stride);
        break;
      case 3:
        row_block<3>(left, right, dimension, out, out_stride);
        break;
      case 4:
        row_block<4>(left, right, dimension, out, out_stride);
        break;
      case 5:
        row_block<5>(left, right, dimension, out, out_stride);
        break;
      default:
        row_block<kMaxRows>(left, right, dimension, out, out_stride);
        break;
    }
    left += height;
    out += height * out_stride;
    rows -= height;
    --blocks;
  }
}

void squared_norms_of_panel(const double* panel, std::size_t dimension, double* out) {
  const F64 d;
  for (std::size_t j = 0; j < kPanelColumns; j += hn::Lanes(d)) {
    hn::Vec<F64> sum = hn::Zero(d);
    for (std::size_t c = 0; c < dimension; ++c) {
      const hn::Vec<F64> x = hn::Load(d, panel + c * kPanelColumns + j);
      sum = hn::MulAdd(x, x, sum);
    }
    hn::StoreU(sum, d, out + j);
  }
}

/// kCount SIMD vectors of running sums over all rows of `order`.
template <std::size_t kCount>
HWY_INLINE void accumulate_columns(const double* HWY_RESTRICT gram, std::size_t stride,
                                   const std::uint32_t* HWY_RESTRICT order, std::size_t rows,
                                   const double* HWY_RESTRICT weights, double* HWY_RESTRICT sums) {
  const F64 d;
  const std::size_t lanes = hn::Lanes(d);
  hn::Vec<F64> sum[kCount];
  for (std::size_t v = 0; v < kCount; ++v) sum[v] = hn::LoadU(d, sums + v * lanes);
  for (std::size_t i = 0; i < rows; ++i) {
    const hn::Vec<F64> weight = hn::Set(d, weights[order[i]]);
    const double* row = gram + order[i] * stride;
    for (std::size_t v = 0; v < kCount; ++v) {
      sum[v] = hn::MulAdd(weight, hn::LoadU(d, row + v * lanes), sum[v]);
    }
  }
  for (std::size_t v = 0; v < kCount; ++v) hn::StoreU(sum[v], d, sums + v * lanes);
}

void accumulate_rows(const double* gram, std::size_t stride, const std::uint32_t* order,
                     std::size_t rows, const double* weights, std::size_t columns, double* sums) {
  constexpr std::size_t kCount = 8;
  const std::size_t lanes = hn::Lanes(F64());
  std::size_t j = 0;
  for (; j + kCount * lanes <= columns; j += kCount * lanes) {
    accumulate_columns<kCount>(gram + j, stride, order, rows, weights, sums + j);
  }
  for (; j < columns; j += lanes) {
    accumulate_columns<1>(gram + j, stride, order, rows, weights, sums + j);
  }
}

}  // namespace
}  // namespace toplens::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(panel_products);
HWY_EXPORT(squared_norms_of_panel);
HWY_EXPORT(accumulate_rows);

void VectorPanels::reset(std::size_t count, std::size_t dimension) {
  count_ = count;
  dimension_ = dimension;
  data_.assign(panels() * panel_size(), 0.0);
}

void VectorPanels::assign(MatrixView<const float> vectors) {
  count_ = vectors.rows();
  dimension_ = vectors.columns();
  data_.resize(panels() * panel_size());
  for (std::size_t p = 0; p < panels(); ++p) {
    double* panel = data_.data() + p * panel_size();
    const std::size_t first = p * kPanelColumns;
    const std::size_t used = std::min(kPanelColumns, count_ - first);
    for (std::size_t j = 0; j < used; ++j) {
      const std::span<const float> vector = vectors.row(first + j);
      for (std::size_t c = 0; c < dimension_; ++c) panel[c * kPanelColumns + j] = vector[c];
    }
    for (std::size_t c = 0; c < dimension_; ++c) {
      std::fill(panel + c * kPanelColumns + used, panel + (c + 1) * kPanelColumns, 0.0);
    }
  }
}

void panel_products(const double* left, std::size_t rows, const double* right,
                    std::size_t dimension, double* out, std::size_t out_stride) {
  assert(rows > 0 && rows <= kPanelColumns);
  HWY_DYNAMIC_DISPATCH(panel_products)(left, rows, right, dimension, out, out_stride);
}

void GramMatrix::assign(const VectorPanels& values, std::size_t window) {
  tokens_ = values.count();
  const std::size_t panels = values.panels();
  // One cache line more than whole panels: rows a power of two apart would share few cache sets.
  stride_ = panels * kPanelColumns + kLaneBlock;
  data_.resize(panels * kPanelColumns * stride_);
  for (std::size_t p = 0; p < panels; ++p) {
    for (std::size_t q = p; q < panels; ++q) {
      const bool seen_together = window == 0 || q == p || (q - p - 1) * kPanelColumns + 1 < window;
      if (!seen_together) break;
      double* tile = data_.data() + p * kPanelColumns * stride_ + q * kPanelColumns;
      panel_products(values.panel(p), kPanelColumns, values.panel(q), values.dimension(), tile,
                     stride_);
      if (q == p) continue;
      double* mirrored = data_.data() + q * kPanelColumns * stride_ + p * kPanelColumns;
      for (std::size_t j = 0; j < kPanelColumns; ++j) {
        for (std::size_t i = 0; i < kPanelColumns; ++i) {
          mirrored[j * stride_ + i] = tile[i * stride_ + j];
        }
      }
    }
  }
}

void squared_norms(const VectorPanels& vectors, std::span<double> out) {
  assert(out.size() >= vectors.panels() * kPanelColumns);
  for (std::size_t p = 0; p < vectors.panels(); ++p) {
    HWY_DYNAMIC_DISPATCH(squared_norms_of_panel)
    (vectors.panel(p), vectors.dimension(), out.data() + p * kPanelColumns);
  }
}

void accumulate_rows(MatrixView<const double> gram, std::size_t first,
                     std::span<const std::uint32_t> order, const double* weights,
                     std::size_t columns, double* sums) {
  assert(columns % kLaneBlock == 0 && first + columns <= gram.stride());
  HWY_DYNAMIC_DISPATCH(accumulate_rows)
  (gram.data() + first * gram.stride() + first, gram.stride(), order.data(), order.size(), weights,
   columns, sums);
}

}  // namespace toplens
#endif  // HWY_ONCE
