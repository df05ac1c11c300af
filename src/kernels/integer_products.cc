#include "kernels/integer_products.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/integer_products.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

HWY_BEFORE_NAMESPACE();
namespace toplens::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// |x scale - integers|^2.
double round_to_integers(const double* HWY_RESTRICT x, std::size_t count, double scale,
                         std::int16_t* HWY_RESTRICT out) {
  const hn::CappedTag<double, 8> d;
  const hn::Rebind<std::int32_t, decltype(d)> d32;
  const hn::Rebind<std::int16_t, decltype(d)> d16;
  const auto factor = hn::Set(d, scale);
  auto rest = hn::Zero(d);
  for (std::size_t i = 0; i < count; i += hn::Lanes(d)) {
    const auto scaled = hn::Mul(hn::LoadU(d, x + i), factor);
    const auto rounded = hn::Round(scaled);
    const auto difference = hn::Sub(scaled, rounded);
    rest = hn::MulAdd(difference, difference, rest);
    hn::StoreU(hn::DemoteTo(d16, hn::DemoteTo(d32, rounded)), d16, out + i);
  }
  return hn::GetLane(hn::SumOfLanes(d, rest));
}

}  // namespace
}  // namespace toplens::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace toplens {

HWY_EXPORT(round_to_integers);

namespace {

/// Length of a vector's integers: every component fits, and so does every sum of products.
constexpr double kLength = 32767.0;
/// Vectors shorter than this have no useful float32 unit.
constexpr double kShortest = 0x1p-60;

struct Products {
  const std::int16_t* rows;
  std::size_t stride;
  const float* row_units;
  const std::int32_t* panel;
  const float* units;
  std::size_t pairs;
  float* out;
  std::size_t out_stride;
};

/// A pair of a row, as the panel has them.
std::int32_t pair_of(const std::int16_t* row, std::size_t pair) {
  std::int32_t both = 0;
  std::memcpy(&both, row + 2 * pair, sizeof(both));
  return both;
}

void plain_products(const Products& p, std::size_t count) {
  for (std::size_t r = 0; r < count; ++r) {
    for (std::size_t j = 0; j < kValueColumns; ++j) {
      std::int32_t sum = 0;
      for (std::size_t c = 0; c < p.pairs; ++c) {
        std::int16_t value[2], row[2];
        std::memcpy(value, p.panel + c * kValueColumns + j, sizeof(value));
        std::memcpy(row, p.rows + r * p.stride + 2 * c, sizeof(row));
        sum += value[0] * row[0] + value[1] * row[1];
      }
      p.out[r * p.out_stride + j] = static_cast<float>(sum) * (p.row_units[r] * p.units[j]);
    }
  }
}

#ifdef __x86_64__

// Highway 1.0 has no name for this instruction.
#define TOPLENS_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

constexpr std::size_t kMaxRows = 9;
constexpr std::size_t kVectors = 2;  // of 16 columns: with nine rows, 18 sums in registers

// GCC 12 warns of the plain conversion's own header.
TOPLENS_VNNI inline __m512 to_floats(__m512i integers) {
  return _mm512_maskz_cvtepi32_ps(static_cast<__mmask16>(0xffff), integers);
}

template <std::size_t kRows>
TOPLENS_VNNI void vnni_rows(const Products& p) {
  for (std::size_t j = 0; j < kValueColumns; j += 16 * kVectors) {
    __m512i sum[kRows][kVectors];
    for (auto& of_row : sum) {
      for (__m512i& one : of_row) one = _mm512_setzero_si512();
    }
    const std::int32_t* panel = p.panel + j;
    for (std::size_t c = 0; c < p.pairs; ++c, panel += kValueColumns) {
      __m512i column[kVectors];
      for (std::size_t v = 0; v < kVectors; ++v) column[v] = _mm512_load_si512(panel + 16 * v);
      for (std::size_t r = 0; r < kRows; ++r) {
        const __m512i row = _mm512_set1_epi32(pair_of(p.rows + r * p.stride, c));
        for (std::size_t v = 0; v < kVectors; ++v) {
          sum[r][v] = _mm512_dpwssd_epi32(sum[r][v], row, column[v]);
        }
      }
    }
    for (std::size_t r = 0; r < kRows; ++r) {
      const __m512 row_unit = _mm512_set1_ps(p.row_units[r]);
      for (std::size_t v = 0; v < kVectors; ++v) {
        const __m512 unit = _mm512_mul_ps(row_unit, _mm512_loadu_ps(p.units + j + 16 * v));
        _mm512_storeu_ps(p.out + r * p.out_stride + j + 16 * v,
                         _mm512_mul_ps(to_floats(sum[r][v]), unit));
      }
    }
  }
}

void vnni_products(Products p, std::size_t count) {
  constexpr void (*kOfRows[kMaxRows])(const Products&) = {vnni_rows<1>, vnni_rows<2>, vnni_rows<3>,
                                                          vnni_rows<4>, vnni_rows<5>, vnni_rows<6>,
                                                          vnni_rows<7>, vnni_rows<8>, vnni_rows<9>};
  std::size_t blocks = (count + kMaxRows - 1) / kMaxRows;
  for (; count > 0; --blocks) {
    const std::size_t height = (count + blocks - 1) / blocks;
    kOfRows[height - 1](p);
    p.rows += height * p.stride;
    p.row_units += height;
    p.out += height * p.out_stride;
    count -= height;
  }
}

#endif  // __x86_64__

}  // namespace

bool IntegerValues::is_fast() {
#ifdef __x86_64__
  return (hwy::SupportedTargets() & HWY_AVX3) != 0 && __builtin_cpu_supports("avx512vnni") != 0;
#else
  return false;
#endif
}

bool IntegerValues::assign(const ValueVectors& values) {
  const std::size_t padded = values.padded_dimension();
  fast_ = is_fast();
  pairs_ = (values.dimension() + 1) / 2;
  error_ = 0.0;
  units_.assign(padded_to_value_columns(values.count()), 0.0f);
  panels_.assign(units_.size() * pairs_, 0);
  AlignedVector<double> promoted(padded);
  AlignedVector<std::int16_t> integers(padded);
  for (std::size_t i = 0; i < values.count(); ++i) {
    const double length = std::sqrt(values.squared_norms()[i]);
    const double panel_length = std::ldexp(length, values.panel_exponent());
    if (length == 0.0) continue;
    if (panel_length < kShortest) return false;
    std::copy_n(values.row(i), padded, promoted.begin());
    error_ = std::max(error_, to_integers(promoted, length, integers.data()).error);
    units_[i] = static_cast<float>(panel_length / kLength);
    std::int32_t* column =
        panels_.data() + i / kValueColumns * pairs_ * kValueColumns + i % kValueColumns;
    for (std::size_t c = 0; c < pairs_; ++c) {
      column[c * kValueColumns] = pair_of(integers.data(), c);
    }
  }
  return true;
}

IntegerForm to_integers(std::span<const double> x, double length, std::int16_t* out) {
  const double scale = kLength / length;
  const double rest = HWY_DYNAMIC_DISPATCH(round_to_integers)(x.data(), x.size(), scale, out);
  return {length / kLength, std::sqrt(rest)};
}

double relative_integer_error(double value_error, double aggregate_error) {
  // |<q + d, q' + d'> - <q, q'>| with |q + d| = |q' + d'| = kLength; then the roundings of two
  // float32 units, their product, the sum and the result, and of the float64 arithmetic above.
  return 1.001 * (value_error + aggregate_error + 3 * value_error * aggregate_error / kLength) /
             kLength +
         8 * 0x1p-24;
}

void IntegerValues::panel_products(std::size_t p, const std::int16_t* rows, std::size_t count,
                                   std::size_t stride, const float* row_units, float* out,
                                   std::size_t out_stride) const {
  const Products products{rows,
                          stride,
                          row_units,
                          panels_.data() + p * pairs_ * kValueColumns,
                          units_.data() + p * kValueColumns,
                          pairs_,
                          out,
                          out_stride};
#ifdef __x86_64__
  if (fast_) return vnni_products(products, count);
#endif
  plain_products(products, count);
}

}  // namespace toplens
#endif  // HWY_ONCE
