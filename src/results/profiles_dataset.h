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

/// Makes profiles.nc: by layer and head the curves behind the assumptions of theory.md 3, means
/// over documents in bins of positions and lags with the fitted curves beside them, and the final
/// query's weights on the tokens of the first document.
class ProfilesBuilder {
 public:
  ProfilesBuilder(std::size_t layers, ShownDocument document);

  /// The next layer: a view of its records alone, and the fits of its heads.
  void add_layer(const AssumptionView& records, std::span<const HeadFit> fits);
  /// Once all layers were added, at least one.
  Dataset dataset() const;

 private:
  /// Means over documents of a quantity's mean in each bin, and the standard deviation between
  /// them. A document without a defined element in a bin does not count there.
  struct BinnedCurve {
    std::vector<float> mean, between;

    /// `value(document, i)` for the positions or lags i of the bins, NaN where it is not defined.
    template <typename Value>
    void append(const Bins& bins, std::size_t documents, const Value& value);
    void add_to(Dataset& dataset, const std::string& name, std::vector<std::string> dimensions,
                std::string_view units, const std::string& long_name) const;
  };

  void add_values(const AssumptionView& records, std::span<const HeadFit> fits);
  void add_weights(const AssumptionView& records, std::span<const HeadFit> fits);

  std::size_t layers_;
  ShownDocument document_;
  RecordedShape shape_;  ///< of one layer
  Bins positions_, lags_;
  BinnedCurve norms_, similarities_, weights_, log_weights_;
  std::vector<float> similarity_fits_, log_weight_fits_, token_weights_;
};

}  // namespace toplens
