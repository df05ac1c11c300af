#include "geometry/head_geometry.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>
#include <utility>

namespace toplens {

namespace {

bool has_inversions(const GeometryOptions& options, Ranking ranking) {
  return options.with_inversions && (ranking != Ranking::random || options.random_inversions);
}

/// Below this product of the norms of y_i and s the published cosine depends on the scale
/// (theory.md 2).
constexpr double kLightProduct = 1e-10;

}  // namespace

HeadGeometry::HeadGeometry(GeometryOptions options, std::optional<WalkMethod> method)
    : options_(std::move(options)), given_method_(method) {
  check(options_);
  size_positions_.resize(options_.set_sizes.size());
  std::iota(size_positions_.begin(), size_positions_.end(), std::size_t{0});
  std::sort(size_positions_.begin(), size_positions_.end(), [&](std::size_t a, std::size_t b) {
    return options_.set_sizes[a] < options_.set_sizes[b];
  });
  has_cosine_ = std::find(options_.distances.begin(), options_.distances.end(), Distance::cosine) !=
                options_.distances.end();
  has_contributions_ = has_cosine_ || std::find(options_.rankings.begin(), options_.rankings.end(),
                                                Ranking::contribution) != options_.rankings.end();
  for (const std::size_t position : size_positions_) {
    sorted_sizes_.push_back(static_cast<std::size_t>(options_.set_sizes[position]));
  }
}

std::size_t HeadGeometry::num_results() const {
  return options_.rankings.size() * options_.distances.size() * options_.set_sizes.size();
}

std::size_t HeadGeometry::index(std::size_t ranking, std::size_t distance,
                                std::size_t set_size) const {
  return (ranking * options_.distances.size() + distance) * options_.set_sizes.size() + set_size;
}

WalkMethod HeadGeometry::method_for(std::size_t tokens, std::size_t head_dim, int plain_queries,
                                    int random_queries) const {
  if (given_method_) return *given_method_;
  double plain_orders = 0.0;
  double random_orders = 0.0;
  for (const Ranking ranking : options_.rankings) {
    (ranking == Ranking::random ? random_orders : plain_orders) +=
        ranking == Ranking::random ? options_.random_repeats : 1;
  }
  const double orders =
      plain_orders * (plain_queries + random_queries) + random_orders * random_queries;
  const auto end = std::lower_bound(sorted_sizes_.begin(), sorted_sizes_.end(), tokens);
  if (end == sorted_sizes_.begin()) return WalkMethod::aggregate;
  // Clock cycles for each token, as measured with AVX-512.
  const auto dimension = static_cast<double>(head_dim);
  const auto sizes = static_cast<double>(end - sorted_sizes_.begin());
  const double gram = 0.05 * dimension * static_cast<double>(tokens) +
                      orders * (0.6 * static_cast<double>(*(end - 1)) + 3.0 * sizes);
  const double aggregate = orders * sizes * (0.06 * dimension + 2.0);
  return gram < aggregate ? WalkMethod::gram : WalkMethod::aggregate;
}

std::uint64_t HeadGeometry::bytes(std::size_t tokens, std::size_t head_dim, int plain_queries,
                                  int random_queries) const {
  const bool on_gram =
      method_for(tokens, head_dim, plain_queries, random_queries) == WalkMethod::gram;
  return 80 * std::uint64_t{tokens} + num_results() * sizeof(Separability) +
         (on_gram ? GramWalk::bytes(tokens, head_dim) : BoundedSeparation::bytes(tokens, head_dim));
}

void HeadGeometry::set_values(MatrixView<const float> values, int window, int plain_queries,
                              int random_queries) {
  method_ = method_for(values.rows(), values.columns(), plain_queries, random_queries);
  if (method_ == WalkMethod::gram) {
    gram_.set_values(values, static_cast<std::size_t>(window));
    // Room for the padding after the last token of any visible range.
    squared_norms_.resize(gram_.values().panels() * kPanelColumns + kLaneBlock);
    squared_norms(gram_.values(), squared_norms_);
  } else {
    bounded_.set_values(values);
    const std::span<const double> squared = bounded_.values().squared_norms();
    squared_norms_.assign(squared.begin(), squared.end());
  }
  norms_.resize(values.rows());
  inverse_norms_.resize(values.rows());
  for (std::size_t i = 0; i < values.rows(); ++i) {
    norms_[i] = std::sqrt(squared_norms_[i]);
    inverse_norms_[i] = norms_[i] > 0.0 ? 1.0 / norms_[i] : 0.0;
  }
}

void HeadGeometry::prepare(const GeometryQuery& query, std::span<const float> attention) {
  first_visible_ = static_cast<std::size_t>(query.first_visible);
  visible_ = attention.size();
  const std::size_t padded = padded_to_lanes(visible_);
  weights_.resize(padded);
  std::copy(attention.begin(), attention.end(), weights_.begin());
  std::fill(weights_.begin() + visible_, weights_.end(), 0.0);
  if (has_contributions_) {
    contribution_norms_.assign(padded, 0.0);
    for (std::size_t i = 0; i < visible_; ++i) {
      contribution_norms_[i] = weights_[i] * norms_[first_visible_ + i];
    }
  }
  if (has_cosine_) {
    cosine_factors_.assign(padded, 0.0);
    for (std::size_t i = 0; i < visible_; ++i) {
      cosine_factors_[i] = weights_[i] > 0.0 ? inverse_norms_[first_visible_ + i] : 0.0;
    }
  }
  defined_sizes_ = static_cast<std::size_t>(
      std::lower_bound(sorted_sizes_.begin(), sorted_sizes_.end(), visible_) -
      sorted_sizes_.begin());
  if (method_ == WalkMethod::aggregate && defined_sizes_ > 0) {
    bounded_.set_query({first_visible_, attention, weights_.data(), cosine_factors_.data()},
                       options_.distances);
  }
}

void HeadGeometry::measure(const GeometryQuery& query, std::span<const float> attention,
                           std::span<Separability> results) {
  assert(results.size() == num_results());
  assert(attention.size() == static_cast<std::size_t>(query.query - query.first_visible + 1));
  prepare(query, attention);
  std::fill(results.begin(), results.end(), Separability());
  if (defined_sizes_ == 0) return;
  const std::size_t ranked = sorted_sizes_[defined_sizes_ - 1];

  for (std::size_t r = 0; r < options_.rankings.size(); ++r) {
    const Ranking ranking = options_.rankings[r];
    if (ranking == Ranking::random && !query.with_random) continue;
    for (std::size_t d = 0; d < options_.distances.size(); ++d) {
      for (std::size_t n = 0; n < defined_sizes_; ++n) {
        results[index(r, d, size_positions_[n])] = zero_separability();
      }
    }
    switch (ranking) {
      case Ranking::attention:
        walk(ranker_.by_score(attention, ranked), r, results);
        break;
      case Ranking::contribution:
        walk(ranker_.by_score(std::span<const double>(contribution_norms_).first(visible_), ranked),
             r, results);
        break;
      case Ranking::positional:
        walk(ranker_.by_position(query.first_visible, visible_, ranked), r, results);
        break;
      case Ranking::random:
        for (int repeat = 0; repeat < options_.random_repeats; ++repeat) {
          const RandomRankingKey key{query.document, query.layer, query.query_head, query.query,
                                     repeat};
          walk(ranker_.at_random(options_.seed, key, visible_, ranked), r, results);
        }
        for (std::size_t i = index(r, 0, 0); i < index(r + 1, 0, 0); ++i) {
          divide(results[i], options_.random_repeats);
        }
        break;
    }
  }
}

void HeadGeometry::walk(std::span<const std::uint32_t> order, std::size_t ranking,
                        std::span<Separability> results) {
  if (method_ == WalkMethod::gram) {
    walk_on_gram(order, ranking, results);
  } else {
    walk_on_aggregates(order, ranking, results);
  }
}

void HeadGeometry::walk_on_gram(std::span<const std::uint32_t> order, std::size_t ranking,
                                std::span<Separability> results) {
  const bool inversions = has_inversions(options_, options_.rankings[ranking]);
  gram_.start(first_visible_, visible_, order, weights_.data());
  scores_.resize(weights_.size());
  for (std::size_t n = 0; n < defined_sizes_; ++n) {
    const std::span<const double> sums = gram_.advance(sorted_sizes_[n]);
    const std::span<const std::uint32_t> selected = order.first(sorted_sizes_[n]);
    // |s|^2 = sum of <y_i, s> over S; rounding may leave it below 0 where the y_i cancel.
    double squared_norm = 0.0;
    for (const std::uint32_t token : selected) squared_norm += weights_[token] * sums[token];
    squared_norm = std::max(squared_norm, 0.0);
    for (std::size_t d = 0; d < options_.distances.size(); ++d) {
      const Distance distance = options_.distances[d];
      if (distance == Distance::euclidean) {
        euclidean_scores(sums.data(), weights_.data(), squared_norms_.data() + first_visible_,
                         visible_, scores_.data());
      } else if (squared_norm > 0.0) {
        cosine_scores(sums.data(), cosine_factors_.data(), visible_, scores_.data());
      } else {
        std::fill(scores_.begin(), scores_.end(), 0.0);
      }
      const SeparationCounts counts =
          counter_.count(scores_.data(), visible_, selected, inversions);
      add(results[index(ranking, d, size_positions_[n])],
          separability(distance, counts, selected.size(), squared_norm, inversions));
    }
  }
}

void HeadGeometry::walk_on_aggregates(std::span<const std::uint32_t> order, std::size_t ranking,
                                      std::span<Separability> results) {
  const bool inversions = has_inversions(options_, options_.rankings[ranking]);
  bounded_.start(order);
  for (std::size_t first = 0; first < defined_sizes_; first += BoundedSeparation::kMaxSizes) {
    const std::size_t count = std::min(BoundedSeparation::kMaxSizes, defined_sizes_ - first);
    bounded_.select(std::span<const std::size_t>(sorted_sizes_).subspan(first, count), inversions);
    for (std::size_t n = 0; n < count; ++n) {
      for (std::size_t d = 0; d < options_.distances.size(); ++d) {
        const Distance distance = options_.distances[d];
        const SeparationCounts counts = bounded_.count(n, distance, inversions);
        add(results[index(ranking, d, size_positions_[first + n])],
            separability(distance, counts, sorted_sizes_[first + n], bounded_.squared_norm(n),
                         inversions));
      }
    }
  }
}

Separability HeadGeometry::separability(Distance distance, const SeparationCounts& counts,
                                        std::size_t set_size, double squared_norm,
                                        bool inversions) const {
  Separability result = separability_from_counts(counts, set_size);
  if (!inversions) result.inversions = Separability::kUndefined;
  const double score_margin = counts.min_selected - counts.max_unselected;
  if (distance == Distance::euclidean) {
    // The margin as a difference of squares: D itself has lost the light tokens (theory.md (6)).
    const double radii = std::sqrt(std::max(squared_norm - counts.max_unselected, 0.0)) +
                         std::sqrt(std::max(squared_norm - counts.min_selected, 0.0));
    result.margin = radii > 0.0 ? score_margin / radii : 0.0;
  } else {
    const double norm = std::sqrt(squared_norm);
    result.margin = norm > 0.0 ? score_margin / norm : 0.0;
    result.light_share = static_cast<double>(count_products_below(contribution_norms_.data(), norm,
                                                                  kLightProduct, visible_)) /
                         static_cast<double>(visible_);
  }
  return result;
}

}  // namespace toplens
