#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "measures/head_summary.h"
#include "statistics/mixture.h"

namespace toplens {

/// Whether the regimes are there without the rule: a Gaussian mixture on the standardised signature
/// (theory.md 8).
struct MixtureCheck {
  std::size_t heads = 0;              ///< with all features defined, not Undefined
  std::vector<std::string> features;  ///< those that differ between heads
  MixtureFit fit;                     ///< assignments of these heads
  std::vector<std::size_t> rows;      ///< of these heads
  std::string reason;                 ///< "too few heads", or empty
  /// Of the mixture's groups with the rule's labels; none where `reason` says why.
  std::optional<double> adjusted_rand_index;
};

/// The features: means of the signature without content mass, because the masses sum to 1, and
/// without selectivity, which at one length is a linear function of log n_eff.
MixtureCheck check_mixture(const std::vector<HeadSummary>& heads,
                           const MixtureOptions& options = {});

}  // namespace toplens
