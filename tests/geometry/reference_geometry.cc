#include "geometry/reference_geometry.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace toplens::testing {

namespace {

using Vector = std::vector<double>;

double dot(const Vector& x, const Vector& y) {
  double sum = 0.0;
  for (std::size_t c = 0; c < x.size(); ++c) sum += x[c] * y[c];
  return sum;
}

double norm_of_difference(const Vector& x, const Vector& y) {
  double sum = 0.0;
  for (std::size_t c = 0; c < x.size(); ++c) sum += (x[c] - y[c]) * (x[c] - y[c]);
  return std::sqrt(sum);
}

bool same_token(std::span<const float> attention, MatrixView<const float> values, std::size_t i,
                std::size_t j, bool compare_weights) {
  if (compare_weights && attention[i] != attention[j]) return false;
  return std::equal(values.row(i).begin(), values.row(i).end(), values.row(j).begin());
}

}  // namespace

ReferenceGeometry reference_geometry(std::span<const float> attention,
                                     MatrixView<const float> values, Distance distance,
                                     std::span<const std::uint32_t> selected,
                                     double tie_tolerance) {
  const std::size_t tokens = attention.size();
  const std::size_t dim = values.columns();
  std::vector<Vector> v(tokens, Vector(dim));
  std::vector<Vector> y(tokens, Vector(dim));
  Vector s(dim, 0.0);
  std::vector<bool> in_selection(tokens, false);
  for (std::size_t i = 0; i < tokens; ++i) {
    for (std::size_t c = 0; c < dim; ++c) {
      v[i][c] = values(i, c);
      y[i][c] = double{attention[i]} * v[i][c];
    }
  }
  for (const std::uint32_t i : selected) {
    in_selection[i] = true;
    for (std::size_t c = 0; c < dim; ++c) s[c] += y[i][c];
  }

  // Larger is closer: g of (6), or the cosine. D itself serves the margin alone.
  const double s_norm = std::sqrt(dot(s, s));
  Vector closeness(tokens), size(tokens), radius(tokens);
  std::size_t light = 0;
  for (std::size_t i = 0; i < tokens; ++i) {
    const double along = dot(y[i], s);
    const double squared = dot(y[i], y[i]);
    if (distance == Distance::euclidean) {
      closeness[i] = 2.0 * along - squared;
      size[i] = std::abs(2.0 * along) + squared;
      radius[i] = norm_of_difference(y[i], s);
    } else {
      const double v_norm = std::sqrt(dot(v[i], v[i]));
      const bool zero = attention[i] == 0.0f || v_norm == 0.0 || s_norm == 0.0;
      closeness[i] = zero ? 0.0 : dot(v[i], s) / (v_norm * s_norm);
      size[i] = 0.5;
      radius[i] = 1.0 - closeness[i];
      light += std::sqrt(squared) * s_norm < 1e-10 ? 1 : 0;
    }
  }

  ReferenceGeometry result;
  const double n = static_cast<double>(selected.size());
  double min_selected = std::numeric_limits<double>::infinity();
  double max_unselected = -min_selected;
  double rho_max = 0.0;
  double rho_min = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < tokens; ++i) {
    if (in_selection[i]) {
      min_selected = std::min(min_selected, closeness[i]);
      rho_max = std::max(rho_max, radius[i]);
    } else {
      max_unselected = std::max(max_unselected, closeness[i]);
      rho_min = std::min(rho_min, radius[i]);
    }
  }
  double contaminating = 0.0;
  double clear = 0.0;
  double inversions = 0.0;
  for (std::size_t i = 0; i < tokens; ++i) {
    if (!in_selection[i]) {
      contaminating += closeness[i] >= min_selected ? 1.0 : 0.0;
      continue;
    }
    clear += closeness[i] > max_unselected ? 1.0 : 0.0;
    for (std::size_t j = 0; j < tokens; ++j) {
      if (in_selection[j]) continue;
      inversions += closeness[j] >= closeness[i] ? 1.0 : 0.0;
      if (std::abs(closeness[i] - closeness[j]) <= tie_tolerance * (size[i] + size[j]) &&
          (size[i] + size[j]) > 0.0 && !(closeness[i] == 0.0 && closeness[j] == 0.0) &&
          !same_token(attention, values, i, j, distance == Distance::euclidean)) {
        result.near_tie = true;
      }
    }
  }
  Separability& m = result.separability;
  m.precision = n / (n + contaminating);
  m.recall = clear / n;
  m.f_score = 2.0 * m.precision * m.recall / (m.precision + m.recall);
  m.inversions = inversions;
  // Where both radii are far larger than their difference, D has lost it: through the squares.
  m.margin = distance == Distance::cosine ? rho_min - rho_max
             : rho_min + rho_max > 0.0    ? (min_selected - max_unselected) / (rho_min + rho_max)
                                          : 0.0;
  if (distance == Distance::cosine) {
    m.light_share = static_cast<double>(light) / static_cast<double>(tokens);
  }
  return result;
}

std::vector<std::uint32_t> reference_order(std::span<const double> scores, std::size_t count) {
  std::vector<std::uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return scores[a] > scores[b]; });
  order.resize(count);
  return order;
}

std::vector<double> reference_scores(std::span<const float> attention,
                                     MatrixView<const float> values, Ranking ranking) {
  std::vector<double> scores(attention.begin(), attention.end());
  if (ranking == Ranking::contribution) {
    for (std::size_t i = 0; i < scores.size(); ++i) {
      double squared = 0.0;
      for (const float x : values.row(i)) squared += double{x} * double{x};
      scores[i] *= std::sqrt(squared);
    }
  }
  return scores;
}

}  // namespace toplens::testing
