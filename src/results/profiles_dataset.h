#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "results/dataset.h"
#include "theory/assumption_records.h"
#include "theory/head_fit.h"

namespace toplens {

/// Consecutive positions (or lags) put together: bin i is [edges[i], edges[i + 1]).
struct Bins {
  static constexpr std::size_t kMost = 64;
  std::vector<std::size_t> edges;

  std::size_t size() const { return edges.empty() ? 0 : edges.size() - 1; }
};

/// Bins of the positions 0 .. length - 1: token 0 and the last 16 alone, since the sink and the
/// recency phase live there, the others in bins as equal as can be; at most 64.
Bins position_bins(std::size_t length);
/// Bins of the lags 1 .. lags: the first 16 alone; at most 64.
Bins lag_bins(std::size_t lags);

/// The document whose tokens profiles.nc shows.
struct ShownDocument {
  std::string label;
  std::vector<std::string> tokens;  ///< each token's text, as many as the records' tokens
};

/// profiles.nc: by layer and head the curves behind the assumptions of theory.md 3, means over
/// documents in bins of positions and lags with the fitted curves beside them, and the final
/// query's weights on the tokens of the first document. `fits` is [layer][head] in one row.
Dataset make_profiles_dataset(const AssumptionView& records, std::span<const HeadFit> fits,
                              const ShownDocument& document);

}  // namespace toplens
