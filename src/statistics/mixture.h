#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <toplens/array_view.h>

namespace toplens {

struct MixtureOptions {
  std::size_t most_components = 6;
  std::size_t restarts = 20;
  std::size_t least_points = 10;  ///< per component
  std::uint64_t seed = 2027;
};

/// Gaussian mixtures with diagonal covariances, the best of the restarts for each number of
/// components.
struct MixtureFit {
  /// Element k - 1: BIC (smaller is better) of k components; none where there are too few points or
  /// every fit left a component with fewer points than asked for.
  std::vector<std::optional<double>> bic;
  std::size_t components = 0;           ///< of the smallest BIC; 0: too few points for one
  std::vector<std::size_t> assignment;  ///< most likely component of each point
};

/// `points` [point, feature], finite; features should be standardised. Variances are kept above
/// 0.01. Deterministic for a seed.
MixtureFit fit_mixture(MatrixView<const double> points, const MixtureOptions& options = {});

/// Adjusted Rand index of two labellings of the same points (Hubert, Arabie 1985); 1 where both are
/// one group. At least one point.
double adjusted_rand_index(std::span<const std::size_t> a, std::span<const std::size_t> b);

}  // namespace toplens
