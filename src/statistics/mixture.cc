#include "statistics/mixture.h"

// The mixture needs none of Armadillo's back ends.
#define ARMA_DONT_USE_WRAPPER
#define ARMA_DONT_USE_LAPACK
#define ARMA_DONT_USE_BLAS
#define ARMA_DONT_USE_ARPACK
#define ARMA_DONT_USE_SUPERLU
#define ARMA_DONT_USE_HDF5
#define ARMA_DONT_USE_OPENMP
#define ARMA_WARN_LEVEL 0
#include <algorithm>
#include <armadillo>
#include <cassert>
#include <cmath>
#include <limits>
#include <map>

#include "base/random.h"

namespace toplens {
namespace {

constexpr double kLeastVariance = 0.01;
constexpr int kMeansIterations = 10;
constexpr int kEmIterations = 100;

double squared_distance(const arma::mat& points, std::size_t i, std::size_t j) {
  double sum = 0.0;
  for (std::size_t c = 0; c < points.n_rows; ++c) {
    const double difference = points(c, i) - points(c, j);
    sum += difference * difference;
  }
  return sum;
}

/// First means after k-means++ (Arthur, Vassilvitskii 2007), from our own stream: Armadillo's
/// generator is shared by whoever else uses it.
arma::mat starting_means(const arma::mat& points, std::size_t components, Random& random) {
  const std::size_t count = points.n_cols;
  std::vector<double> nearest(count, std::numeric_limits<double>::infinity());
  arma::mat means(points.n_rows, components);
  std::size_t chosen = random.below(count);
  for (std::size_t k = 0; k < components; ++k) {
    means.col(k) = points.col(chosen);
    double total = 0.0;
    for (std::size_t i = 0; i < count; ++i) {
      nearest[i] = std::min(nearest[i], squared_distance(points, i, chosen));
      total += nearest[i];
    }
    double left = random.uniform() * total;
    chosen = count - 1;
    for (std::size_t i = 0; i < count; ++i) {
      left -= nearest[i];
      if (left < 0.0) {
        chosen = i;
        break;
      }
    }
  }
  return means;
}

struct Candidate {
  double log_likelihood = -std::numeric_limits<double>::infinity();
  std::vector<std::size_t> assignment;
};

std::optional<Candidate> best_fit(const arma::mat& points, std::size_t components,
                                  const MixtureOptions& options) {
  std::optional<Candidate> best;
  for (std::size_t restart = 0; restart < options.restarts; ++restart) {
    Random random(options.seed, {components, restart});
    arma::gmm_diag model;
    model.set_params(starting_means(points, components, random),
                     arma::mat(points.n_rows, components, arma::fill::ones),
                     arma::rowvec(components).fill(1.0 / static_cast<double>(components)));
    if (!model.learn(points, components, arma::eucl_dist, arma::keep_existing, kMeansIterations,
                     kEmIterations, kLeastVariance, false)) {
      continue;
    }
    const double log_likelihood = model.sum_log_p(points);
    if (!std::isfinite(log_likelihood) || (best && log_likelihood <= best->log_likelihood)) {
      continue;
    }
    const arma::urowvec assigned = model.assign(points, arma::prob_dist);
    std::vector<std::size_t> sizes(components, 0);
    for (const arma::uword component : assigned) ++sizes[component];
    if (*std::min_element(sizes.begin(), sizes.end()) < options.least_points) continue;
    best = Candidate{log_likelihood, {assigned.begin(), assigned.end()}};
  }
  return best;
}

double pairs(std::size_t count) {
  return 0.5 * static_cast<double>(count) * (static_cast<double>(count) - 1.0);
}

}  // namespace

MixtureFit fit_mixture(MatrixView<const double> points, const MixtureOptions& options) {
  const std::size_t count = points.rows(), dimension = points.columns();
  arma::mat columns(dimension, count);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t c = 0; c < dimension; ++c) columns(c, i) = points(i, c);
  }
  MixtureFit fit;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t k = 1; k <= options.most_components; ++k) {
    fit.bic.emplace_back();
    if (count < k * options.least_points || dimension == 0) continue;
    std::optional<Candidate> candidate = best_fit(columns, k, options);
    if (!candidate) continue;
    const double parameters = static_cast<double>(k * 2 * dimension + k - 1);
    const double bic =
        -2.0 * candidate->log_likelihood + parameters * std::log(static_cast<double>(count));
    fit.bic.back() = bic;
    if (bic >= least) continue;
    least = bic;
    fit.components = k;
    fit.assignment = std::move(candidate->assignment);
  }
  return fit;
}

double adjusted_rand_index(std::span<const std::size_t> a, std::span<const std::size_t> b) {
  assert(a.size() == b.size() && !a.empty());
  std::map<std::size_t, std::size_t> rows, columns;
  std::map<std::pair<std::size_t, std::size_t>, std::size_t> cells;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ++rows[a[i]];
    ++columns[b[i]];
    ++cells[{a[i], b[i]}];
  }
  double in_rows = 0.0, in_columns = 0.0, in_cells = 0.0;
  for (const auto& [label, size] : rows) in_rows += pairs(size);
  for (const auto& [label, size] : columns) in_columns += pairs(size);
  for (const auto& [labels, size] : cells) in_cells += pairs(size);
  const double all = pairs(a.size());
  const double expected = all > 0.0 ? in_rows * in_columns / all : 0.0;
  const double most = 0.5 * (in_rows + in_columns);
  if (most == expected) return 1.0;
  return (in_cells - expected) / (most - expected);
}

}  // namespace toplens
