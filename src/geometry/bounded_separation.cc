#include "geometry/bounded_separation.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

namespace toplens {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
/// Unit roundoff of float32.
constexpr float kRoundoff = 0x1p-24f;
/// Slopes reach 2^121, so that scores are below 2^123 and weights down to the smallest subnormal
/// keep their digits.
constexpr int kSlopeExponent = 121;
/// Below every score: tokens that the query does not see.
constexpr float kNowhere = -0x1p126f;
/// Panel vectors shorter than this have no useful float32 cosine.
constexpr float kShortest = 0x1p-60f;

/// Open tokens of a cell from which on float32 products of all tokens are cheaper than float64
/// products of these.
constexpr std::size_t kMostOpen = 24;

/// Units of integer aggregates from here on have normal products with those of values (whose
/// vectors are 2^-60 long or longer), so that nothing of a sum is lost to underflow.
constexpr float kLeastUnit = 0x1p-51f;

/// The float32 neighbours that enclose a score.
ScoreRange enclose(double score) {
  const auto nearest = static_cast<float>(score);
  return {nearest <= score ? nearest : std::nextafter(nearest, -kInfinity),
          nearest >= score ? nearest : std::nextafter(nearest, kInfinity)};
}

/// Bound on |float32 chain - float64 product| over |v_j| |s|: at most one rounding for each of the
/// `dimension` steps and one for s, and room for the roundings of the score, of the interval's ends
/// and of the bound itself.
double relative_product_error(std::size_t dimension) {
  return 1.01 * static_cast<double>(dimension + 10) * double{kRoundoff};
}

/// What underflow can add to a chain, even where subnormal numbers are flushed to 0.
float underflow_error(std::size_t dimension) { return static_cast<float>(dimension) * 0x1p-124f; }

/// To within a factor of 2.
float sum_of(const AlignedVector<float>& weights) {
  std::array<float, kColumnBlock> sums = {};
  for (std::size_t j = 0; j < weights.size(); j += kColumnBlock) {
    for (std::size_t k = 0; k < kColumnBlock; ++k) sums[k] += weights[j + k];
  }
  return std::accumulate(sums.begin(), sums.end(), 0.0f);
}

}  // namespace

void BoundedSeparation::set_values(MatrixView<const float> values) {
  values_.assign(values);
  const std::size_t padded = padded_to_value_columns(values.rows());
  norms_.assign(padded, 0.0f);
  inverse_norms_.assign(padded, 0.0f);
  cosine_floors_.assign(padded, 0.0f);
  const float underflow = underflow_error(values.columns());
  for (std::size_t i = 0; i < values.rows(); ++i) {
    const double squared = values_.squared_norms()[i];
    if (squared == 0.0) continue;
    const double norm = std::ldexp(std::sqrt(squared), values_.panel_exponent());
    norms_[i] = static_cast<float>(norm);
    if (norm < kShortest) {
      cosine_floors_[i] = 0x1p100f;  // every comparison is left to float64
    } else {
      inverse_norms_[i] = static_cast<float>(1.0 / norm);
      cosine_floors_[i] = underflow * inverse_norms_[i];
    }
  }
  has_integers_ = with_integers_ && integers_.assign(values_);
  find_duplicates();
  products_.resize(values.rows());
  product_stamps_.assign(values.rows(), 0);
  stamp_ = 0;
}

void BoundedSeparation::find_duplicates() {
  const std::size_t tokens = values_.count();
  first_equal_.resize(tokens);
  // Equal vectors have equal norms; a hash table of the norms with the vectors compared on a match.
  const std::size_t slots = std::bit_ceil(2 * tokens + 1);
  std::vector<std::uint32_t> table(slots, std::numeric_limits<std::uint32_t>::max());
  for (std::uint32_t i = 0; i < tokens; ++i) {
    const auto bits = std::bit_cast<std::uint64_t>(values_.squared_norms()[i]);
    std::size_t slot = (bits * 0x9E3779B97F4A7C15u >> 32) & (slots - 1);
    const auto is_free_or_equal = [&](std::uint32_t other) {
      return other >= tokens || std::memcmp(values_.row(other), values_.row(i),
                                            values_.dimension() * sizeof(float)) == 0;
    };
    while (!is_free_or_equal(table[slot])) slot = (slot + 1) & (slots - 1);
    if (table[slot] >= tokens) table[slot] = i;
    first_equal_[i] = table[slot];
  }
}

void BoundedSeparation::set_query(const WeightedQuery& query, std::span<const Distance> distances) {
  query_ = query;
  const std::size_t visible = query.attention.size();
  first_column_ = query.first_visible / kValueColumns * kValueColumns;
  begin_ = query.first_visible - first_column_;
  columns_ = padded_to_value_columns(begin_ + visible);
  column_weights_.assign(columns_, 0.0f);
  std::copy(query.attention.begin(), query.attention.end(), column_weights_.begin() + begin_);
  const float total = sum_of(column_weights_);
  // Weights times 2^(slope_exponent_ - 121) sum to 1 or less, and so do the panel's y_i.
  slope_exponent_ = total > 0.0f ? std::min(127, kSlopeExponent - std::ilogb(total) - 2) : 0;

  for (const Distance distance : distances) {
    ScoreTerms& terms = distance == Distance::euclidean ? euclidean_.terms : cosine_.terms;
    if (distance == Distance::euclidean) {
      EuclideanScaling scaling;
      scaling.slope = std::ldexp(1.0f, slope_exponent_);
      scaling.contribution = std::ldexp(1.0f, slope_exponent_ - 61);
      scaling.floor_of_slope = underflow_error(values_.dimension());
      scaling.floor_of_offset = 10.0f * kRoundoff;
      scaling.floor = 0x1p-122f;
      euclidean_terms(column_weights_.data(), norms_.data() + first_column_, scaling, columns_,
                      terms);
    } else {
      cosine_terms(column_weights_.data(), inverse_norms_.data() + first_column_,
                   cosine_floors_.data() + first_column_, columns_, terms);
    }
    std::fill_n(terms.offset.begin(), begin_, -kNowhere);
    std::fill(terms.offset.begin() + begin_ + visible, terms.offset.begin() + columns_, -kNowhere);
  }
  low_.resize(columns_);
  high_.resize(columns_);
  found_.resize(columns_ + kColumnBlock);
  candidates_.resize(columns_ + kColumnBlock);
  sums_stride_ = columns_ + kColumnBlock;
}

void BoundedSeparation::start(std::span<const std::uint32_t> order) {
  order_ = order;
  rank_.assign(columns_, kUnranked);
  for (std::size_t r = 0; r < order.size(); ++r) {
    rank_[begin_ + order[r]] = static_cast<std::int32_t>(r);
  }
  walked_ = 0;
  running_.assign(values_.padded_dimension(), 0.0);
}

void BoundedSeparation::select(std::span<const std::size_t> set_sizes, bool for_inversions) {
  assert(set_sizes.size() <= kMaxSizes);
  const std::size_t padded = values_.padded_dimension();
  set_sizes_.assign(set_sizes.begin(), set_sizes.end());
  squared_norms_.resize(set_sizes.size());
  aggregate_exponents_.resize(set_sizes.size());
  aggregates_.resize(set_sizes.size() * padded);
  float_aggregates_.resize(set_sizes.size() * padded);
  sums_.resize(std::max(sums_.size(), set_sizes.size() * sums_stride_));
  aggregate_ = nullptr;
  for (std::size_t n = 0; n < set_sizes.size(); ++n) {
    assert(set_sizes[n] >= walked_ && set_sizes[n] <= order_.size());
    add_weighted_values(values_, query_.first_visible,
                        order_.subspan(walked_, set_sizes[n] - walked_), query_.weights,
                        running_.data());
    walked_ = set_sizes[n];
    std::copy(running_.begin(), running_.end(), aggregates_.begin() + n * padded);
    const double squared = squared_length(running_);
    squared_norms_[n] = squared;
    // A norm of about 1, but the Euclidean scale below must not vanish.
    const int most = values_.panel_exponent() + slope_exponent_ - kSlopeExponent + 100;
    const int exponent = squared > 0.0 ? std::min(-std::ilogb(std::sqrt(squared)) - 1, most) : 0;
    aggregate_exponents_[n] = exponent;
    scale_to_float(running_, std::ldexp(1.0, exponent), float_aggregates_.data() + n * padded);
  }
  product_errors_.resize(set_sizes.size());
  is_coarse_.assign(set_sizes.size(), has_integers_ && !for_inversions);
  if (has_integers_ && !for_inversions) {
    multiply_integers();
  } else {
    multiply_floats(0, set_sizes.size());
  }
}

void BoundedSeparation::multiply_integers() {
  const std::size_t padded = values_.padded_dimension();
  integer_aggregates_.resize(set_sizes_.size() * padded);
  integer_units_.resize(set_sizes_.size());
  for (std::size_t n = 0; n < set_sizes_.size(); ++n) {
    IntegerForm form;
    std::int16_t* row = integer_aggregates_.data() + n * padded;
    if (squared_norms_[n] > 0.0) {
      form =
          to_integers({aggregates_.data() + n * padded, padded}, std::sqrt(squared_norms_[n]), row);
    } else {
      std::fill_n(row, padded, std::int16_t{0});
    }
    integer_units_[n] = static_cast<float>(std::ldexp(form.unit, aggregate_exponents_[n]));
    product_errors_[n] =
        relative_integer_error(integers_.error(), form.error) + relative_product_error(0);
  }
  for (std::size_t column = 0; column < columns_; column += kValueColumns) {
    integers_.panel_products((first_column_ + column) / kValueColumns, integer_aggregates_.data(),
                             set_sizes_.size(), padded, integer_units_.data(),
                             sums_.data() + column, sums_stride_);
  }
  for (std::size_t n = 0; n < set_sizes_.size(); ++n) {
    if (squared_norms_[n] > 0.0 && integer_units_[n] < kLeastUnit) multiply_floats(n, 1);
  }
}

void BoundedSeparation::multiply_floats(std::size_t first, std::size_t count) {
  const std::size_t padded = values_.padded_dimension();
  const MatrixView<const float> rows(float_aggregates_.data() + first * padded, count,
                                     values_.dimension(), padded);
  for (std::size_t column = 0; column < columns_; column += kValueColumns) {
    panel_products(rows, values_.panel((first_column_ + column) / kValueColumns),
                   sums_.data() + first * sums_stride_ + column, sums_stride_);
  }
  for (std::size_t n = first; n < first + count; ++n) {
    product_errors_[n] = relative_product_error(values_.dimension());
    is_coarse_[n] = false;
  }
}

void BoundedSeparation::set_scaling(std::size_t n, Distance distance) {
  const int aggregate = aggregate_exponents_[n];
  const double error = product_errors_[n] * std::ldexp(std::sqrt(squared_norms_[n]), aggregate);
  if (distance == Distance::euclidean) {
    // slope scale <2^p v, 2^t s> = 2^(2p + 2 slope - 122) 2 a <v, s>, and the offset likewise.
    const int panel = values_.panel_exponent();
    euclidean_.exponent = 2 * (panel + slope_exponent_ - 61);
    euclidean_.scale = std::ldexp(1.0f, panel + slope_exponent_ - kSlopeExponent - aggregate);
    euclidean_.spread_scale = static_cast<float>(error * double{euclidean_.scale});
  } else {
    cosine_.exponent = aggregate;
    cosine_.scale = 1.0f;
    cosine_.spread_scale = static_cast<float>(error);
  }
}

double BoundedSeparation::exact_score(std::uint32_t column, Distance distance) {
  const std::size_t visible = column - begin_;
  const std::size_t token = first_column_ + column;
  const bool euclidean = distance == Distance::euclidean;
  const double factor = euclidean ? query_.weights[visible] : query_.inverse_norms[visible];
  if (factor == 0.0) return 0.0;
  const std::uint32_t original = first_equal_[token];
  if (product_stamps_[original] != stamp_) {
    product_stamps_[original] = stamp_;
    products_[original] = value_product(values_, original, aggregate_);
    ++statistics_.float64_products;
  }
  const double product = products_[original];
  // theory.md (6)
  return euclidean ? factor * ((product + product) - factor * values_.squared_norms()[original])
                   : product * factor;
}

SeparationCounts BoundedSeparation::count(std::size_t n, Distance distance, bool with_inversions) {
  const std::size_t tokens = query_.attention.size();
  const std::size_t size = set_sizes_[n];
  assert(size < tokens);
  ++statistics_.cells;
  SeparationCounts counts;
  if (distance == Distance::cosine && squared_norms_[n] == 0.0) {
    counts.contaminating = tokens - size;
    if (with_inversions) counts.inversions = std::uint64_t{size} * (tokens - size);
    return counts;
  }
  set_scaling(n, distance);
  const Scores& scores = distance == Distance::euclidean ? euclidean_ : cosine_;
  set_size_ = static_cast<std::int32_t>(size);
  const double* aggregate = aggregates_.data() + n * values_.padded_dimension();
  if (aggregate != aggregate_) ++stamp_;
  aggregate_ = aggregate;

  const ScoreExtremes extremes =
      bound_scores(scores.terms, sums_.data() + n * sums_stride_, scores.scale, scores.spread_scale,
                   rank_.data(), set_size_, columns_, low_.data(), high_.data());
  counts.min_selected = std::numeric_limits<double>::infinity();
  counts.max_unselected = -counts.min_selected;
  std::size_t found = collect_columns(low_.data(), high_.data(), rank_.data(), set_size_, columns_,
                                      {-kInfinity, extremes.selected_high},
                                      {extremes.unselected_low, kInfinity}, found_.data());
  const auto refined = [&] {
    multiply_floats(n, 1);
    --statistics_.cells;
    return count(n, distance, with_inversions);
  };
  if (found > kMostOpen && is_coarse_[n]) return refined();
  for (std::size_t k = 0; k < found; ++k) {
    const double score = exact_score(found_[k], distance);
    if (is_selected(found_[k])) {
      counts.min_selected = std::min(counts.min_selected, score);
    } else {
      counts.max_unselected = std::max(counts.max_unselected, score);
    }
  }
  if (counts.min_selected > counts.max_unselected) {
    counts.clear = size;
    if (is_coarse_[n]) ++statistics_.integer_cells;
    return counts;
  }

  const double scale = std::ldexp(1.0, scores.exponent);
  const ScoreRange smallest = enclose(counts.min_selected * scale);
  const ScoreRange largest = enclose(counts.max_unselected * scale);
  const CountBounds bounds =
      count_bounds(low_.data(), high_.data(), rank_.data(), set_size_, columns_, smallest, largest);
  counts.contaminating = bounds.sure_contaminating;
  counts.clear = bounds.sure_clear;
  bool undecided = bounds.possible_contaminating != bounds.sure_contaminating ||
                   bounds.possible_clear != bounds.sure_clear;
  if (undecided) {
    found = collect_columns(low_.data(), high_.data(), rank_.data(), set_size_, columns_, largest,
                            smallest, found_.data());
    if (found > kMostOpen && is_coarse_[n]) return refined();
    for (std::size_t k = 0; k < found; ++k) {
      const std::uint32_t column = found_[k];
      if (is_selected(column)) {
        if (low_[column] > largest.to) continue;
        counts.clear += exact_score(column, distance) > counts.max_unselected ? 1 : 0;
      } else {
        if (low_[column] >= smallest.to) continue;
        counts.contaminating += exact_score(column, distance) >= counts.min_selected ? 1 : 0;
      }
    }
  }
  if (undecided) ++statistics_.undecided_cells;
  if (is_coarse_[n]) ++statistics_.integer_cells;
  if (with_inversions) counts.inversions = count_inversions(distance);
  return counts;
}

std::uint64_t BoundedSeparation::count_inversions(Distance distance) {
  const auto size = static_cast<std::size_t>(set_size_);
  const std::size_t padded = std::bit_ceil(size);
  selected_low_.assign(padded + kColumnBlock, kInfinity);
  selected_high_.assign(padded + kColumnBlock, kInfinity);
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t column = begin_ + order_[i];
    selected_low_[i] = low_[column];
    selected_high_[i] = high_[column];
    low_[column] = high_[column] = -kInfinity;  // no candidate
  }
  ascending_high_.assign(selected_high_.begin(), selected_high_.end());
  const std::span<const std::int32_t> places = sorter_.sort({ascending_high_.data(), size});
  least_low_.assign(padded + kColumnBlock, kInfinity);
  for (std::size_t i = 0; i < size; ++i) {
    float& least = least_low_[static_cast<std::size_t>(places[i])];
    least = std::min(least, selected_low_[i]);
  }
  for (std::size_t r = size - 1; r > 0; --r) {
    least_low_[r - 1] = std::min(least_low_[r - 1], least_low_[r]);
  }
  const InversionBounds bounds =
      bound_inversions(ascending_high_.data(), least_low_.data(), padded, low_.data(), high_.data(),
                       columns_, candidates_.data());
  std::uint64_t inversions = bounds.sure;
  for (std::size_t k = 0; k < bounds.open; ++k) {
    const std::uint32_t column = candidates_[k];
    // The sure pairs of this column are in the sum already.
    const std::size_t found = collect_open_pairs(selected_low_.data(), selected_high_.data(), size,
                                                 {low_[column], high_[column]}, found_.data());
    const double score = exact_score(column, distance);
    for (std::size_t i = 0; i < found; ++i) {
      const auto selected = static_cast<std::uint32_t>(begin_ + order_[found_[i]]);
      inversions += score >= exact_score(selected, distance) ? 1 : 0;
    }
  }
  return inversions;
}

std::uint64_t BoundedSeparation::bytes(std::size_t tokens, std::size_t head_dim) {
  // Sums of kMaxSizes selections and some twenty arrays over the tokens.
  return ValueVectors::bytes(tokens, head_dim) + IntegerValues::bytes(tokens, head_dim) +
         std::uint64_t{tokens + 2 * kValueColumns} * (4 * kMaxSizes + 160) +
         18 * std::uint64_t{kMaxSizes} * head_dim;
}

}  // namespace toplens
