#include "statistics/effective_rank.h"

#include <cmath>
#include <cstddef>
#include <eigen3/Eigen/Eigenvalues>
#include <limits>
#include <vector>

namespace toplens {
namespace {

/// Singular values are roots of the Gram matrix's eigenvalues, whose error is about 1e-16 of the
/// largest: what lies below 1e-7 of the largest singular value is that error.
constexpr double kLeastShare = 1e-14;

}  // namespace

double EffectiveRank::of(MatrixView<const float> vectors) {
  // Of the smaller side: both Gram matrices have the same eigenvalues but for zeros.
  const bool few = vectors.rows() < vectors.columns();
  const std::size_t count = few ? vectors.rows() : vectors.columns();
  panels_.reset(count, few ? vectors.columns() : vectors.rows());
  for (std::size_t i = 0; i < vectors.rows(); ++i) {
    const std::span<const float> row = vectors.row(i);
    for (std::size_t c = 0; c < row.size(); ++c) {
      (few ? panels_(i, c) : panels_(c, i)) = double{row[c]};
    }
  }
  gram_.assign(panels_, 0);
  const MatrixView<const double> products = gram_.view();
  const auto n = static_cast<Eigen::Index>(count);
  Eigen::MatrixXd gram(n, n);
  for (Eigen::Index i = 0; i < n; ++i) {
    for (Eigen::Index j = 0; j < n; ++j) {
      gram(i, j) = products(static_cast<std::size_t>(i), static_cast<std::size_t>(j));
    }
  }
  const Eigen::VectorXd squares =
      Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(gram, Eigen::EigenvaluesOnly).eigenvalues();
  const double least = squares.maxCoeff() * kLeastShare;
  if (!(least > 0.0)) return std::numeric_limits<double>::quiet_NaN();
  double total = 0.0;
  for (const double square : squares) total += square > least ? std::sqrt(square) : 0.0;
  double entropy = 0.0;
  for (const double square : squares) {
    if (square <= least) continue;
    const double share = std::sqrt(square) / total;
    entropy -= share * std::log(share);
  }
  return std::exp(entropy);
}

}  // namespace toplens
