#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "theory/assumption_records.h"
#include "theory/residuals.h"

namespace toplens {

/// theory.md (11) at one set size and ranking, pooled over documents: the competitors, a sample of
/// all unselected tokens, and the sink apart.
class ResidualPool {
 public:
  /// `expected` are m_j by rank (SimilaritySums::others); `sink_rank` is the number of tokens where
  /// the sink is not visible.
  void add(const SizeRecord& record, std::span<const double> expected, std::size_t sink_rank);

  ResidualEstimate estimate(int set_size, double dimension, bool sink_visible) const;
  /// Whatever the number of documents; NaN where there was nothing to pool.
  Residuals competitors(int set_size, double dimension) const;

 private:
  struct Moments {
    std::size_t count = 0;
    double sum = 0.0;
    double squares = 0.0;

    void add(double x);
    double mean() const { return sum / static_cast<double>(count); }
    double sum_about(double centre) const;
  };
  static Residuals residuals(const Moments& moments, int set_size, double dimension);

  Moments competitors_, others_;
  Moments unselected_sink_;  // about beta
  Moments selected_sink_;    // against s - y_0, about 0
  std::vector<double> document_betas_, document_spreads_;
  std::vector<double> near_duplicates_;
  std::size_t zero_norms_ = 0;
  std::size_t sampled_ = 0;  // unselected tokens, with a direction or without
};

}  // namespace toplens
