#include "measures/query_measures.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace toplens {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr int kRecencyTokens = 15;
constexpr int kStreamingFirst = 4, kStreamingLast = 64;
constexpr int kMostSeparated = 8;
/// Set sizes of the small-N F and of s_4 (theory.md 8).
constexpr std::array<int, 3> kSmallSizes = {2, 3, 4};
constexpr int kAggregateSize = 4;

GeometryOptions separability_options() {
  GeometryOptions options;
  options.set_sizes = {2, 3, 4, 5, 6, 7, 8};
  options.rankings = {Ranking::attention};
  options.distances = {Distance::euclidean};
  options.with_inversions = false;
  return options;
}

std::size_t index(int value) { return static_cast<std::size_t>(value); }

}  // namespace

HeadMeasures::HeadMeasures(std::vector<int> set_sizes, const SignatureConditions& conditions)
    : set_sizes_(std::move(set_sizes)),
      conditions_(conditions),
      walked_sizes_(set_sizes_),
      geometry_(separability_options()) {
  walked_sizes_.push_back(kAggregateSize);
  std::sort(walked_sizes_.begin(), walked_sizes_.end());
  walked_sizes_.erase(std::unique(walked_sizes_.begin(), walked_sizes_.end()), walked_sizes_.end());
  const auto position = [&](int size) {
    return index(static_cast<int>(std::find(walked_sizes_.begin(), walked_sizes_.end(), size) -
                                  walked_sizes_.begin()));
  };
  for (const int size : set_sizes_) size_positions_.push_back(position(size));
  fourth_position_ = position(kAggregateSize);
  separabilities_.resize(geometry_.num_results());
  of_query_.by_size.resize(set_sizes_.size());
}

std::uint64_t HeadMeasures::bytes(std::size_t length, std::size_t head_dim, int queries) {
  return HeadGeometry(separability_options()).bytes(length, head_dim, 2 * queries, 0) +
         ValueVectors::bytes(length, head_dim) +
         8 * std::uint64_t{head_dim + kPanelColumns} * (length + 2 * head_dim);
}

void HeadMeasures::set_values(const HeadView& view, int queries, bool with_effective_rank) {
  values_.assign(view.values);
  geometry_.set_values(view.values, view.window, 2 * queries, 0);
  of_values_.values.fill(kNan);
  const std::size_t first = index(view.first_visible(view.length - 1));
  const std::size_t length = index(view.length);
  const std::span<const double> squares = values_.squared_norms();
  double norms = 0.0;
  std::size_t count = 0;
  for (std::size_t i = std::max<std::size_t>(first, 1); i < length; ++i, ++count) {
    norms += std::sqrt(squares[i]);
  }
  const double mean_norm = count > 0 ? norms / static_cast<double>(count) : kNan;
  of_values_[Measure::mean_value_norm] = mean_norm;
  zero_values_ = !(mean_norm > 0.0);
  if (first == 0) {
    const double sink_norm = std::sqrt(squares[0]);
    if (mean_norm > 0.0) of_values_[Measure::first_value_norm_ratio] = sink_norm / mean_norm;
    sink_.assign(values_.padded_dimension(), 0.0);
    std::copy(values_.row(0), values_.row(0) + values_.padded_dimension(), sink_.begin());
    double cosines = 0.0;
    std::size_t others = 0;
    for (std::size_t j = 1; j < length && sink_norm > 0.0; ++j) {
      if (!(squares[j] > 0.0)) continue;
      cosines += value_product(values_, j, sink_.data()) / (sink_norm * std::sqrt(squares[j]));
      ++others;
    }
    if (others > 0) {
      of_values_[Measure::sink_similarity] = cosines / static_cast<double>(others);
    }
  }
  if (with_effective_rank) {
    of_values_[Measure::value_effective_rank] =
        rank_.of(view.values.row_range(first, length - first));
  }
}

const QueryMeasures& HeadMeasures::measure(const HeadView& view, int query,
                                           std::span<const float> attention) {
  QueryMeasures& of = of_query_;
  of.values.fill(kNan);
  of.reason = SignatureReason::defined;
  for (auto& sizes : of.by_size) sizes.fill(kNan);
  const std::size_t first = index(view.first_visible(query));
  const std::span<const float> weights = attention.subspan(first, index(query) + 1 - first);
  measure_masses(query, first, weights);
  measure_output(first, weights);
  measure_signature(view, query, first, weights);
  return of;
}

void HeadMeasures::measure_masses(int query, std::size_t first, std::span<const float> weights) {
  QueryMeasures& of = of_query_;
  const std::size_t visible = weights.size();
  double streaming = 0.0, recency = 0.0, content = 0.0, entropy = 0.0, distance = 0.0;
  float largest = 0.0f;
  for (std::size_t k = 0; k < visible; ++k) {
    const int token = static_cast<int>(first + k);
    const double weight = weights[k];
    largest = std::max(largest, weights[k]);
    distance += weight * (query - token);
    if (weight > 0.0) entropy -= weight * std::log(weight);
    if (token < kStreamingFirst || token > query - kStreamingLast) streaming += weight;
    if (token == 0 || token == query) continue;
    (token >= query - kRecencyTokens ? recency : content) += weight;
  }
  if (first == 0) of[Measure::sink_mass] = weights[0];
  // The first token's own attention is the sink's (theory.md 8: a_t for t > 0).
  of[Measure::final_mass] = query > 0 ? double{weights[visible - 1]} : 0.0;
  of[Measure::recency_mass] = recency;
  of[Measure::content_mass] = content;
  of[Measure::entropy] = entropy;
  if (visible > 1) {
    of[Measure::relative_entropy] = entropy / std::log(static_cast<double>(visible));
  }
  of[Measure::maximum_weight] = largest;
  of[Measure::mean_attention_distance] = distance;
  of[Measure::streaming_mass] = streaming;
}

void HeadMeasures::measure_output(std::size_t first, std::span<const float> weights) {
  QueryMeasures& of = of_query_;
  const auto end = std::lower_bound(walked_sizes_.begin(), walked_sizes_.end(),
                                    static_cast<int>(weights.size()));
  const std::span<const int> sizes(walked_sizes_.begin(), end);
  const std::size_t largest = sizes.empty() ? 0 : index(sizes.back());
  const std::span<const std::uint32_t> order = ranker_.by_score(weights, largest);
  errors_.measure(values_, first, weights, order, sizes);
  const double norm = errors_.output_norm();
  of[Measure::head_output_norm] = norm;
  for (std::size_t n = 0; n < set_sizes_.size(); ++n) {
    const std::size_t at = size_positions_[n];
    if (at >= sizes.size()) break;
    auto& by_size = of.by_size[n];
    if (norm > 0.0) {
      by_size[index_of(SizeMeasure::deletion_error)] = errors_.deletion_error(at) / norm;
      by_size[index_of(SizeMeasure::renormalisation_error)] =
          errors_.renormalisation_error(at) / norm;
    }
    by_size[index_of(SizeMeasure::dropped_coherence)] = errors_.dropped_coherence(at);
  }
  if (first > 0 || fourth_position_ >= sizes.size()) return;
  const double sink_norm = std::sqrt(values_.squared_norms()[0]);
  if (!(sink_norm > 0.0)) return;
  std::vector<double> aggregate(errors_.aggregate(fourth_position_).begin(),
                                errors_.aggregate(fourth_position_).end());
  const auto top = order.first(index(kAggregateSize));
  if (std::find(top.begin(), top.end(), 0u) != top.end()) {
    // Summed anew: a sink that outweighs the rest would leave only rounding of the difference.
    std::fill(aggregate.begin(), aggregate.end(), 0.0);
    for (const std::uint32_t token : top) {
      if (token == 0) continue;
      for (std::size_t c = 0; c < values_.dimension(); ++c) {
        aggregate[c] += double{weights[token]} * double{values_.row(token)[c]};
      }
    }
  }
  const double aggregate_norm = std::sqrt(squared_length(aggregate));
  if (aggregate_norm > 0.0) {
    of[Measure::sink_aggregate_similarity] =
        value_product(values_, 0, aggregate.data()) / (sink_norm * aggregate_norm);
  }
}

void HeadMeasures::measure_signature(const HeadView& view, int query, std::size_t first,
                                     std::span<const float> weights) {
  QueryMeasures& of = of_query_;
  GeometryQuery geometry;
  geometry.layer = view.head.layer;
  geometry.query_head = view.head.query_head;
  geometry.query = query;
  geometry.first_visible = static_cast<int>(first);
  geometry.with_random = false;
  const auto f_score = [&](int size) {
    return size == 1 ? 1.0 : separabilities_[geometry_.index(0, 0, index(size - 2))].f_score;
  };
  geometry_.measure(geometry, weights, separabilities_);
  double sum = 0.0;
  for (const int size : kSmallSizes) sum += f_score(size);
  of[Measure::small_n_f_score] = sum / static_cast<double>(kSmallSizes.size());

  const std::size_t visible = weights.size();
  double other = 0.0, squares = 0.0, distance = 0.0;
  const std::size_t begin = first == 0 ? 1 : 0;
  for (std::size_t k = begin; k < visible; ++k) {
    const double weight = weights[k];
    other += weight;
    squares += weight * weight;
    distance += weight * static_cast<double>(visible - 1 - k);
  }
  if (first > 0) {
    of.reason = SignatureReason::no_sink_visible;
  } else if (visible < index(conditions_.least_visible)) {
    of.reason = SignatureReason::few_tokens;
  } else if (other < conditions_.least_other_mass) {
    of.reason = SignatureReason::no_other_mass;
  } else if (zero_values_) {
    of.reason = SignatureReason::zero_values;
  }
  if (of.reason != SignatureReason::defined) return;
  const double effective_number = other * other / squares;
  of[Measure::log_effective_number] = std::log(effective_number);
  of[Measure::selectivity] =
      1.0 - std::log(effective_number) / std::log(static_cast<double>(visible - 1));
  of[Measure::attention_distance] = distance / (other * query);
  const int size = std::clamp(static_cast<int>(std::lround(effective_number)), 1, kMostSeparated);
  if (size > 1) {
    geometry.first_visible = 1;
    geometry_.measure(geometry, weights.subspan(1), separabilities_);
  }
  of[Measure::separability] = f_score(size);
}

}  // namespace toplens
