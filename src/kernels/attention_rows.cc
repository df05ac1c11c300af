#include "kernels/attention_rows.h"

#include <cassert>
#include <limits>

// Arrays of vectors do not exist on targets whose vector size is unknown to the compiler.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_rows.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>
//
#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace toplens::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using F32 = hn::CappedTag<float, 16>;
using V32 = hn::Vec<F32>;

constexpr std::size_t kPanel = PackedColumns::kPanel;
constexpr std::size_t kTokensPerSum = 256;
static_assert(kTokensPerSum % kPanel == 0);

// Sums live in registers: rows x vectors of them, and 32 registers exist from AVX-512 on.
#if HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON
constexpr std::size_t kTileRows = kAttentionRows;
#else
constexpr std::size_t kTileRows = kAttentionRows / 2;
#endif

/// out[r][v] = or += sum over i of left[r][i] * right[i][v] for kTileRows rows and kVectors vectors
/// of a panel's columns; each sum is one chain in the order of i. Not inlined: the sums, a row's
/// element and the columns take all registers.
template <std::size_t kVectors, bool kAdd>
HWY_NOINLINE void multiply_tile(const float* HWY_RESTRICT left, std::size_t stride,
                                const float* HWY_RESTRICT right, std::size_t depth,
                                float* HWY_RESTRICT out, std::size_t out_stride) {
  const F32 d;
  const std::size_t lanes = hn::Lanes(d);
  V32 sum[kTileRows][kVectors];
#pragma GCC unroll 16
  for (std::size_t r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 16
    for (std::size_t v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);
  }
  for (std::size_t i = 0; i < depth; ++i) {
    V32 column[kVectors];
#pragma GCC unroll 16
    for (std::size_t v = 0; v < kVectors; ++v) column[v] = hn::Load(d, right + v * lanes);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < kTileRows; ++r) {
      const V32 row = hn::Set(d, left[r * stride + i]);
#pragma GCC unroll 16
      for (std::size_t v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(row, column[v], sum[r][v]);
    }
    right += kPanel;
  }
#pragma GCC unroll 16
  for (std::size_t r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 16
    for (std::size_t v = 0; v < kVectors; ++v) {
      float* to = out + r * out_stride + v * lanes;
      if (kAdd) sum[r][v] = hn::Add(hn::Load(d, to), sum[r][v]);
      hn::Store(sum[r][v], d, to);
    }
  }
}

/// kAttentionRows rows times the first `columns` columns of a panel, whole vectors of them.
template <bool kAdd>
void multiply_panel(const float* left, std::size_t stride, const float* right, std::size_t depth,
                    std::size_t columns, float* out, std::size_t out_stride) {
  const std::size_t lanes = hn::Lanes(F32());
  for (std::size_t r = 0; r < kAttentionRows; r += kTileRows) {
    for (std::size_t j = 0; j < columns; j += 2 * lanes) {
      const auto multiply = columns - j > lanes ? multiply_tile<2, kAdd> : multiply_tile<1, kAdd>;
      multiply(left + r * stride, stride, right + j, depth, out + r * out_stride + j, out_stride);
    }
  }
}

/// exp(x) for x <= 0: x = n ln 2 + r, the polynomial of Cephes' expf in r, and n added to its
/// exponent. Below -87, where results would leave the normal numbers, 0.
HWY_INLINE V32 exp_of_nonpositive(F32 d, V32 x) {
  const hn::RebindToSigned<F32> di;
  // Adding 1.5 * 2^23 leaves n in the low bits.
  const V32 shift = hn::Set(d, 12582912.0f);
  const V32 shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), shift);
  const V32 n = hn::Sub(shifted, shift);
  V32 r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  V32 p = hn::MulAdd(r, hn::Set(d, 1.9875691500e-4f), hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0f));
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  const V32 result = hn::BitCast(d, hn::Add(hn::BitCast(di, p), exponent));
  return hn::IfThenElseZero(hn::Ge(x, hn::Set(d, -87.0f)), result);
}

/// Replaces the elements [begin, end), which stand in the same lanes in every row, by
/// function(vector); in vectors that reach beyond, it sees the padding there.
template <class Function>
HWY_INLINE void transform(float* row, std::size_t begin, std::size_t end, float padding,
                          const Function& function) {
  const F32 d;
  const std::size_t lanes = hn::Lanes(d);
  const auto at_edge = [&](std::size_t i) {
    auto inside = hn::FirstN(d, std::min(lanes, end - i));
    if (i < begin) inside = hn::AndNot(hn::FirstN(d, begin - i), inside);
    const V32 v = hn::IfThenElse(inside, hn::Load(d, row + i), hn::Set(d, padding));
    hn::Store(function(v), d, row + i);
  };
  std::size_t i = begin / lanes * lanes;
  if (i < begin) {
    at_edge(i);
    i += lanes;
  }
  for (; i + lanes <= end; i += lanes) hn::Store(function(hn::Load(d, row + i)), d, row + i);
  if (i < end) at_edge(i);
}

/// Softmax of the scaled elements [begin, end) of a row, 0 for the others.
bool softmax(float* row, std::size_t begin, std::size_t end, std::size_t columns,
             ScoreScale scale) {
  const F32 d;
  const V32 scales = hn::Set(d, scale.scale);
  const V32 cap = hn::Set(d, scale.softcap);
  V32 max = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto finite = hn::FirstN(d, hn::Lanes(d));
  transform(row, begin, end, row[begin], [&](V32 v) {
    v = hn::Mul(v, scales);
    const auto is_finite = hn::IsFinite(v);
    finite = hn::And(finite, is_finite);
    if (scale.softcap > 0) {
      // Tanh converts to integers, which NaN has none of.
      v = hn::Mul(cap, hn::Tanh(d, hn::Div(hn::IfThenElseZero(is_finite, v), cap)));
    }
    max = hn::Max(max, v);
    return v;
  });
  if (!hn::AllTrue(d, finite)) return false;
  max = hn::MaxOfLanes(d, max);
  V32 sum = hn::Zero(d);
  // The exponential of the padding is exactly 0.
  transform(row, begin, end, std::numeric_limits<float>::lowest(), [&](V32 v) {
    v = exp_of_nonpositive(d, hn::Sub(v, max));
    sum = hn::Add(sum, v);
    return v;
  });
  const V32 inverse = hn::Div(hn::Set(d, 1.0f), hn::SumOfLanes(d, sum));
  transform(row, begin, end, 0.0f, [&](V32 v) { return hn::Mul(v, inverse); });
  std::fill(row, row + begin, 0.0f);
  std::fill(row + end, row + columns, 0.0f);
  return true;
}

std::size_t AttentionRows(const QueryRows& block, MatrixView<const float> queries,
                          const PackedColumns& keys, ScoreScale scale, MatrixView<float> rows) {
  const std::size_t end = block.visible_end(block.count - 1);
  // All rows that see a panel of keys use it while it is in the nearest cache.
  for (std::size_t k = block.visible_begin(0) / kPanel * kPanel; k < end; k += kPanel) {
    for (std::size_t r = 0; r < block.count; r += kAttentionRows) {
      const std::size_t last = std::min(r + kAttentionRows, block.count) - 1;
      if (k >= block.visible_end(last) || k + kPanel <= block.visible_begin(r)) continue;
      multiply_panel<false>(queries.data() + r * queries.stride(), queries.stride(),
                            keys.panel(k / kPanel), keys.depth(),
                            std::min(kPanel, block.visible_end(last) - k),
                            rows.data() + r * rows.stride() + k, rows.stride());
    }
  }
  for (std::size_t r = 0; r < block.count; ++r) {
    if (!softmax(rows.data() + r * rows.stride(), block.visible_begin(r), block.visible_end(r),
                 keys.columns(), scale)) {
      return r;
    }
  }
  return block.count;
}

void WeightedValueSums(const QueryRows& block, MatrixView<const float> rows,
                       const PackedColumns& values, MatrixView<float> out) {
  const std::size_t end = block.visible_end(block.count - 1);
  for (std::size_t k = block.visible_begin(0) / kTokensPerSum * kTokensPerSum; k < end;
       k += kTokensPerSum) {
    for (std::size_t c = 0; c < values.columns(); c += kPanel) {
      const float* panel = values.panel(c / kPanel);
      const std::size_t columns = std::min(kPanel, values.columns() - c);
      for (std::size_t r = 0; r < block.count; r += kAttentionRows) {
        const std::size_t visible_end =
            block.visible_end(std::min(r + kAttentionRows, block.count) - 1);
        const std::size_t first = std::max(k, block.visible_begin(r));
        const std::size_t last = std::min(k + kTokensPerSum, visible_end);
        if (first >= last) continue;
        const auto multiply =
            first == block.visible_begin(r) ? multiply_panel<false> : multiply_panel<true>;
        multiply(rows.data() + r * rows.stride() + first, rows.stride(), panel + first * kPanel,
                 last - first, columns, out.data() + r * out.stride() + c, out.stride());
      }
    }
  }
}

void Exponentials(float* values, std::size_t count) {
  const F32 d;
  const std::size_t lanes = hn::Lanes(d);
  HWY_ALIGN float buffer[hn::MaxLanes(d)] = {};
  for (std::size_t i = 0; i < count; i += lanes) {
    const std::size_t used = std::min(lanes, count - i);
    std::copy(values + i, values + i + used, buffer);
    hn::Store(exp_of_nonpositive(d, hn::Load(d, buffer)), d, buffer);
    std::copy(buffer, buffer + used, values + i);
  }
}

}  // namespace
}  // namespace toplens::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(AttentionRows);
HWY_EXPORT(WeightedValueSums);
HWY_EXPORT(Exponentials);

void PackedColumns::reset(std::size_t depth, std::size_t columns) {
  depth_ = depth;
  columns_ = columns;
  // Grows only: first touch of fresh memory is slow on virtual machines.
  if (data_.size() < size(depth, columns)) data_.resize(size(depth, columns));
  if (columns % kPanel == 0) return;
  float* panel = data_.data() + columns / kPanel * depth * kPanel;
  for (std::size_t i = 0; i < depth; ++i) {
    std::fill(panel + i * kPanel + columns % kPanel, panel + (i + 1) * kPanel, 0.0f);
  }
}

void PackedColumns::set_row(std::size_t i, std::span<const float> values) {
  assert(i < depth_ && values.size() == columns_);
  float* to = data_.data() + i * kPanel;
  for (std::size_t j = 0; j < columns_; j += kPanel) {
    std::copy_n(values.data() + j, std::min(kPanel, columns_ - j), to);
    to += depth_ * kPanel;
  }
}

void PackedColumns::set_column(std::size_t j, std::span<const float> values) {
  assert(j < columns_ && values.size() == depth_);
  float* to = data_.data() + j / kPanel * depth_ * kPanel + j % kPanel;
  for (std::size_t i = 0; i < depth_; ++i) to[i * kPanel] = values[i];
}

std::size_t attention_rows(const QueryRows& block, MatrixView<const float> queries,
                           const PackedColumns& keys, ScoreScale scale, MatrixView<float> rows) {
  assert(block.count > 0 && block.visible_end(block.count - 1) <= keys.columns());
  assert(queries.rows() >= padded_attention_rows(block.count) && queries.columns() == keys.depth());
  assert(rows.rows() >= padded_attention_rows(block.count));
  assert(rows.stride() == attention_row_stride(keys.columns()));
  return HWY_DYNAMIC_DISPATCH(AttentionRows)(block, queries, keys, scale, rows);
}

void weighted_value_sums(const QueryRows& block, MatrixView<const float> rows,
                         const PackedColumns& values, MatrixView<float> out) {
  assert(block.count > 0 && block.visible_end(block.count - 1) <= values.depth());
  assert(rows.rows() >= padded_attention_rows(block.count));
  assert(rows.stride() == attention_row_stride(values.depth()));
  assert(out.rows() >= padded_attention_rows(block.count));
  assert(out.stride() == head_output_stride(values.columns()));
  HWY_DYNAMIC_DISPATCH(WeightedValueSums)(block, rows, values, out);
}

void exponentials(std::span<float> values) {
  HWY_DYNAMIC_DISPATCH(Exponentials)(values.data(), values.size());
}

}  // namespace toplens
#endif  // HWY_ONCE
