#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "theory/parameters.h"
#include "theory/ranked_tokens.h"

namespace toplens {

/// One query of one set size and ranking, as measured and as assumed.
struct ResidualSample {
  std::size_t set_size = 0;
  std::span<const double> products;  ///< <v_i, s_N>, by place in the visible range
  std::span<const double> norms;     ///< |v_i|, likewise
  double squared_aggregate_norm = 0.0;
  std::span<const double> others;  ///< SimilaritySums::others, by rank
};

/// theory.md (11), pooled over documents, at one set size and ranking: the competitors are the
/// max(16, N) highest ranked tokens of T, the sink apart.
class ResidualFit {
 public:
  explicit ResidualFit(int set_size) : set_size_(set_size) {}

  void add(const RankedTokens& tokens, const ResidualSample& sample);

  /// NaN where there was nothing to pool.
  Residuals residuals(double dimension) const { return residuals(dimension, competitors_); }
  /// The same over all of T.
  Residuals residuals_of_all(double dimension) const { return residuals(dimension, all_); }
  /// Standard deviation of the documents' own means over the competitors; NaN below 2 documents.
  double beta_spread() const;

  std::size_t num_competitors() const { return competitors_.count; }
  std::size_t num_zero_norms() const { return zero_norms_; }

 private:
  struct Moments {
    std::size_t count = 0;
    double sum = 0.0;
    double sum_of_squares = 0.0;
    void add(double x) {
      ++count;
      sum += x;
      sum_of_squares += x * x;
    }
  };
  Residuals residuals(double dimension, const Moments& pooled) const;
  void add_selected_sink(const RankedTokens& tokens, const ResidualSample& sample,
                         std::size_t rank);

  int set_size_;
  Moments competitors_, all_;
  Moments unselected_sink_;  // about beta
  Moments selected_sink_;    // of s - y_0, about 0
  std::vector<double> document_means_;
  std::size_t zero_norms_ = 0;
};

}  // namespace toplens
