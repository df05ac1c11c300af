#include "measures/selection_error.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

namespace toplens {

std::span<const double> SelectionErrors::aggregate(std::size_t n) const {
  return std::span(kept_sums_).subspan(n * dimension_, dimension_);
}

void SelectionErrors::measure(const ValueVectors& values, std::size_t first,
                              std::span<const float> weights, std::span<const std::uint32_t> order,
                              std::span<const int> set_sizes) {
  const std::size_t tokens = weights.size(), sizes = set_sizes.size();
  const std::size_t largest = sizes > 0 ? static_cast<std::size_t>(set_sizes.back()) : 0;
  assert(order.size() >= largest && largest < tokens);
  dimension_ = values.padded_dimension();
  weights_.assign(weights.begin(), weights.end());
  kept_.assign(tokens, 0);
  for (const std::uint32_t token : order.first(largest)) kept_[token] = 1;
  rest_.clear();
  for (std::uint32_t token = 0; token < tokens; ++token) {
    if (kept_[token] == 0) rest_.push_back(token);
  }

  slices_.assign((sizes + 1) * dimension_, 0.0);
  masses_.assign(sizes + 1, 0.0);
  squares_.assign(sizes + 1, 0.0);
  const auto add = [&](std::size_t slice, std::span<const std::uint32_t> slice_tokens) {
    add_weighted_values(values, first, slice_tokens, weights_.data(),
                        slices_.data() + slice * dimension_);
    for (const std::uint32_t token : slice_tokens) {
      masses_[slice] += weights_[token];
      squares_[slice] += weights_[token] * weights_[token] * values.squared_norms()[first + token];
    }
  };
  std::size_t done = 0;
  for (std::size_t n = 0; n < sizes; ++n) {
    const auto size = static_cast<std::size_t>(set_sizes[n]);
    add(n, order.subspan(done, size - done));
    done = size;
  }
  add(sizes, rest_);

  kept_sums_.assign(std::max<std::size_t>(sizes, 1) * dimension_, 0.0);
  std::vector<double> kept_masses(sizes, 0.0);
  for (std::size_t n = 0; n < sizes; ++n) {
    kept_masses[n] = masses_[n] + (n > 0 ? kept_masses[n - 1] : 0.0);
    for (std::size_t c = 0; c < dimension_; ++c) {
      kept_sums_[n * dimension_ + c] =
          slices_[n * dimension_ + c] + (n > 0 ? kept_sums_[(n - 1) * dimension_ + c] : 0.0);
    }
  }
  results_.assign(sizes, {});
  dropped_.assign(slices_.begin() + static_cast<std::ptrdiff_t>(sizes * dimension_), slices_.end());
  difference_.assign(dimension_, 0.0);
  double dropped_mass = masses_[sizes], dropped_square = squares_[sizes];
  for (std::size_t n = sizes; n-- > 0;) {
    const double square = squared_length(dropped_);
    Result& result = results_[n];
    result.deletion = std::sqrt(square);
    result.coherence =
        dropped_square > 0.0 ? square / dropped_square : std::numeric_limits<double>::quiet_NaN();
    // (1 - M_S)(mu_T - mu_S) = sum_T y - (M_T / M_S) s; the weights sum to 1.
    const double ratio = kept_masses[n] > 0.0 ? dropped_mass / kept_masses[n] : 0.0;
    for (std::size_t c = 0; c < dimension_; ++c) {
      difference_[c] = dropped_[c] - ratio * kept_sums_[n * dimension_ + c];
    }
    result.renormalisation = std::sqrt(squared_length(difference_));
    for (std::size_t c = 0; c < dimension_; ++c) dropped_[c] += slices_[n * dimension_ + c];
    dropped_mass += masses_[n];
    dropped_square += squares_[n];
  }
  output_norm_ = std::sqrt(squared_length(dropped_));
}

}  // namespace toplens
