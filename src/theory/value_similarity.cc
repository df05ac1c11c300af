#include "theory/value_similarity.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/matmul.h"
#include "theory/assumption_records.h"

namespace toplens {

namespace {

constexpr std::size_t kBlockRows = 128;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

}  // namespace

void ValueSimilarity::normalise(MatrixView<const float> values) {
  dimension_ = values.columns();
  norms_.resize(values.rows());
  units_.resize(values.rows() * dimension_);
  for (std::size_t i = 0; i < values.rows(); ++i) {
    const std::span<const float> value = values.row(i);
    double square = 0.0;
    for (const float x : value) square += double{x} * double{x};
    const double norm = std::sqrt(square);
    norms_[i] = static_cast<float>(norm);
    const double scale = norms_[i] > 0.0f ? 1.0 / norm : 0.0;
    float* unit = units_.data() + i * dimension_;
    for (std::size_t c = 0; c < dimension_; ++c) unit[c] = static_cast<float>(value[c] * scale);
  }
}

void ValueSimilarity::set_values(MatrixView<const float> values, bool sink_visible) {
  normalise(values);
  const std::size_t count = tokens();
  const std::size_t lags = AssumptionLayout::lags(count);
  lag_sums_.assign(lags, 0.0);
  near_duplicates_.clear();
  sink_cosine_ = kNan;
  const std::size_t first_token = sink_visible ? 1 : 0;
  block_.resize(kBlockRows * count);
  for (std::size_t first = 0; first < count; first += kBlockRows) {
    const std::size_t rows = std::min(kBlockRows, count - first);
    const MatrixView<float> cosines(block_.data(), rows, count - first);
    multiply_f32(units().row_range(first, rows), units().row_range(first, count - first), true,
                 cosines);
    block_sums_.assign(lags, 0.0f);
    for (std::size_t r = 0; r < rows; ++r) {
      walk_row(cosines.row(r).subspan(r), first + r, first_token);
    }
    for (std::size_t k = 0; k < lags; ++k) lag_sums_[k] += double{block_sums_[k]};
  }
  finish_means(first_token);
}

/// `cosines` of the token with itself and those after it.
void ValueSimilarity::walk_row(std::span<const float> cosines, std::size_t token,
                               std::size_t first_token) {
  const float* row = cosines.data();
  const std::size_t count = cosines.size();
  int duplicates = 0;
  for (std::size_t k = 1; k < count; ++k) duplicates += row[k] > kNearDuplicate ? 1 : 0;
  if (duplicates > 0) {
    for (std::size_t k = 1; k < count; ++k) {
      if (row[k] > kNearDuplicate) {
        near_duplicates_.emplace_back(static_cast<std::uint32_t>(token),
                                      static_cast<std::uint32_t>(token + k));
      }
    }
  }
  if (token >= first_token) {
    const std::size_t lags = std::min(block_sums_.size(), count - 1);
    float* sums = block_sums_.data();
    for (std::size_t k = 0; k < lags; ++k) sums[k] += row[k + 1];
    return;
  }
  double sum = 0.0;
  std::size_t others = 0;
  for (std::size_t k = 1; k < count; ++k) {
    if (norms_[k] == 0.0f) continue;
    sum += double{row[k]};
    ++others;
  }
  if (norms_[0] > 0.0f && others > 0) {
    sink_cosine_ = static_cast<float>(sum / static_cast<double>(others));
  }
}

void ValueSimilarity::finish_means(std::size_t first_token) {
  const std::size_t count = tokens();
  const bool any_zero = std::any_of(norms_.begin(), norms_.end(), [](float n) { return n == 0; });
  lag_cosines_.resize(lag_sums_.size());
  for (std::size_t k = 1; k <= lag_sums_.size(); ++k) {
    std::size_t pairs = count - first_token > k ? count - first_token - k : 0;
    if (any_zero) {
      pairs = 0;
      for (std::size_t i = first_token; i + k < count; ++i) {
        pairs += norms_[i] > 0.0f && norms_[i + k] > 0.0f ? 1 : 0;
      }
    }
    lag_cosines_[k - 1] =
        pairs > 0 ? static_cast<float>(lag_sums_[k - 1] / static_cast<double>(pairs)) : kNan;
  }
}

}  // namespace toplens
