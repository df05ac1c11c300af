#include "kernels/value_products.h"

#include <algorithm>
#include <cassert>
#include <cmath>

// Arrays of vectors do not exist on targets whose vector size is unknown to the compiler.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/value_products.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace toplens::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using F32 = hn::CappedTag<float, 16>;
using F64 = hn::CappedTag<double, 8>;
using HalfF32 = hn::Rebind<float, F64>;

// Accumulators live in registers: rows x vectors of them, and 32 registers exist from AVX-512 on.
#if HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON
constexpr std::size_t kVectors = 4;
#else
constexpr std::size_t kVectors = 2;
#endif
constexpr std::size_t kMaxRows = 6;

template <std::size_t kRows>
void row_block(const float* aggregates, std::size_t stride, const float* HWY_RESTRICT panel,
               std::size_t dimension, float* HWY_RESTRICT out, std::size_t out_stride) {
  const F32 d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t j = 0; j < kValueColumns; j += kVectors * lanes) {
    hn::Vec<F32> sum[kRows][kVectors];
    for (std::size_t r = 0; r < kRows; ++r) {
      for (std::size_t v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);
    }
    const float* HWY_RESTRICT right = panel + j;
    for (std::size_t c = 0; c < dimension; ++c, right += kValueColumns) {
      hn::Vec<F32> column[kVectors];
      for (std::size_t v = 0; v < kVectors; ++v) column[v] = hn::Load(d, right + v * lanes);
      for (std::size_t r = 0; r < kRows; ++r) {
        const hn::Vec<F32> row = hn::Set(d, aggregates[r * stride + c]);
        for (std::size_t v = 0; v < kVectors; ++v) {
          sum[r][v] = hn::MulAdd(row, column[v], sum[r][v]);
        }
      }
    }
    for (std::size_t r = 0; r < kRows; ++r) {
      for (std::size_t v = 0; v < kVectors; ++v) {
        hn::StoreU(sum[r][v], d, out + r * out_stride + j + v * lanes);
      }
    }
  }
}

void panel_products(const float* aggregates, std::size_t rows, std::size_t stride,
                    const float* panel, std::size_t dimension, float* out, std::size_t out_stride) {
  // Blocks of nearly equal height: 9 rows are 5 + 4, not 6 + 3.
  std::size_t blocks = (rows + kMaxRows - 1) / kMaxRows;
  while (rows > 0) {
    const std::size_t height = (rows + blocks - 1) / blocks;
    switch (height) {
      case 1:
        row_block<1>(aggregates, stride, panel, dimension, out, out_stride);
        break;
      case 2:
        row_block<2>(aggregates, stride, panel, dimension, out, out_stride);
        break;
      case 3:
        row_block<3>(aggregates, stride, panel, dimension, out, out_stride);
        break;
      case 4:
        row_block<4>(aggregates, stride, panel, dimension, out, out_stride);
        break;
      case 5:
        row_block<5>(aggregates, stride, panel, dimension, out, out_stride);
        break;
      default:
        row_block<kMaxRows>(aggregates, stride, panel, dimension, out, out_stride);
        break;
    }
    aggregates += height * stride;
    out += height * out_stride;
    rows -= height;
    --blocks;
  }
}

/// kCount SIMD vectors of components over all tokens of `order`.
template <std::size_t kCount>
HWY_INLINE void add_components(const float* HWY_RESTRICT rows, std::size_t stride,
                               const std::uint32_t* HWY_RESTRICT order, std::size_t count,
                               const double* HWY_RESTRICT weights, double* HWY_RESTRICT aggregate) {
  const F64 d;
  const HalfF32 half;
  const std::size_t lanes = hn::Lanes(d);
  hn::Vec<F64> sum[kCount];
  for (std::size_t v = 0; v < kCount; ++v) sum[v] = hn::LoadU(d, aggregate + v * lanes);
  for (std::size_t i = 0; i < count; ++i) {
    const hn::Vec<F64> weight = hn::Set(d, weights[order[i]]);
    const float* row = rows + order[i] * stride;
    for (std::size_t v = 0; v < kCount; ++v) {
      sum[v] = hn::MulAdd(weight, hn::PromoteTo(d, hn::LoadU(half, row + v * lanes)), sum[v]);
    }
  }
  for (std::size_t v = 0; v < kCount; ++v) hn::StoreU(sum[v], d, aggregate + v * lanes);
}

void add_weighted_values(const float* rows, std::size_t padded_dimension,
                         const std::uint32_t* order, std::size_t count, const double* weights,
                         double* aggregate) {
  constexpr std::size_t kCount = 8;
  const std::size_t lanes = hn::Lanes(F64());
  std::size_t c = 0;
  for (; c + kCount * lanes <= padded_dimension; c += kCount * lanes) {
    add_components<kCount>(rows + c, padded_dimension, order, count, weights, aggregate + c);
  }
  for (; c < padded_dimension; c += lanes) {
    add_components<1>(rows + c, padded_dimension, order, count, weights, aggregate + c);
  }
}

double value_product(const float* HWY_RESTRICT value, const double* HWY_RESTRICT aggregate,
                     std::size_t padded_dimension) {
  const F64 d;
  const HalfF32 half;
  const std::size_t lanes = hn::Lanes(d);
  hn::Vec<F64> sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  std::size_t c = 0;
  for (; c + 4 * lanes <= padded_dimension; c += 4 * lanes) {
    for (std::size_t v = 0; v < 4; ++v) {
      sum[v] = hn::MulAdd(hn::PromoteTo(d, hn::LoadU(half, value + c + v * lanes)),
                          hn::LoadU(d, aggregate + c + v * lanes), sum[v]);
    }
  }
  for (; c < padded_dimension; c += lanes) {
    sum[0] = hn::MulAdd(hn::PromoteTo(d, hn::LoadU(half, value + c)), hn::LoadU(d, aggregate + c),
                        sum[0]);
  }
  const auto total = hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3]));
  return hn::GetLane(hn::SumOfLanes(d, total));
}

double squared_length(const double* HWY_RESTRICT x, std::size_t count) {
  const F64 d;
  const std::size_t lanes = hn::Lanes(d);
  auto sum = hn::Zero(d);
  for (std::size_t c = 0; c < count; c += lanes) {
    const auto component = hn::LoadU(d, x + c);
    sum = hn::MulAdd(component, component, sum);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

void scale_to_float(const double* HWY_RESTRICT x, std::size_t count, double scale,
                    float* HWY_RESTRICT out) {
  const F64 d;
  const auto factor = hn::Set(d, scale);
  for (std::size_t c = 0; c < count; c += hn::Lanes(d)) {
    const auto scaled = hn::DemoteTo(HalfF32(), hn::Mul(hn::LoadU(d, x + c), factor));
    hn::StoreU(scaled, HalfF32(), out + c);
  }
}

}  // namespace
}  // namespace toplens::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(panel_products);
HWY_EXPORT(add_weighted_values);
HWY_EXPORT(value_product);
HWY_EXPORT(squared_length);
HWY_EXPORT(scale_to_float);

void ValueVectors::assign(MatrixView<const float> values) {
  count_ = values.rows();
  dimension_ = values.columns();
  const std::size_t padded = padded_dimension();
  rows_.resize(count_ * padded);
  squared_norms_.resize(count_);
  AlignedVector<double> promoted(padded, 0.0);
  double longest = 0.0;
  for (std::size_t i = 0; i < count_; ++i) {
    float* row = rows_.data() + i * padded;
    std::copy(values.row(i).begin(), values.row(i).end(), row);
    std::fill(row + dimension_, row + padded, 0.0f);
    std::copy(row, row + dimension_, promoted.begin());
    squared_norms_[i] = HWY_DYNAMIC_DISPATCH(value_product)(row, promoted.data(), padded);
    longest = std::max(longest, squared_norms_[i]);
  }
  panel_exponent_ = longest > 0.0 ? std::clamp(-std::ilogb(std::sqrt(longest)) - 1, -126, 127) : 0;
  const float scale = std::ldexp(1.0f, panel_exponent_);

  const std::size_t panels = padded_to_value_columns(count_) / kValueColumns;
  panels_.resize(panels * dimension_ * kValueColumns);
  constexpr std::size_t kCacheLine = 16;  // of floats: every line of the rows is read once
  for (std::size_t p = 0; p < panels; ++p) {
    float* out = panels_.data() + p * dimension_ * kValueColumns;
    const std::size_t used = std::min(kValueColumns, count_ - p * kValueColumns);
    const float* rows = row(p * kValueColumns);
    for (std::size_t begin = 0; begin < dimension_; begin += kCacheLine) {
      const std::size_t end = std::min(begin + kCacheLine, dimension_);
      for (std::size_t c = begin; c < end; ++c) {
        float* column = out + c * kValueColumns;
        for (std::size_t j = 0; j < used; ++j) column[j] = rows[j * padded + c] * scale;
        std::fill(column + used, column + kValueColumns, 0.0f);
      }
    }
  }
}

void add_weighted_values(const ValueVectors& values, std::size_t first,
                         std::span<const std::uint32_t> order, const double* weights,
                         double* aggregate) {
  HWY_DYNAMIC_DISPATCH(add_weighted_values)
  (values.row(first), values.padded_dimension(), order.data(), order.size(), weights, aggregate);
}

double value_product(const ValueVectors& values, std::size_t i, const double* aggregate) {
  return HWY_DYNAMIC_DISPATCH(value_product)(values.row(i), aggregate, values.padded_dimension());
}

double squared_length(std::span<const double> x) {
  return HWY_DYNAMIC_DISPATCH(squared_length)(x.data(), x.size());
}

void scale_to_float(std::span<const double> x, double scale, float* out) {
  HWY_DYNAMIC_DISPATCH(scale_to_float)(x.data(), x.size(), scale, out);
}

void panel_products(MatrixView<const float> aggregates, const float* panel, float* out,
                    std::size_t out_stride) {
  HWY_DYNAMIC_DISPATCH(panel_products)
  (aggregates.data(), aggregates.rows(), aggregates.stride(), panel, aggregates.columns(), out,
   out_stride);
}

}  // namespace toplens
#endif  // HWY_ONCE
