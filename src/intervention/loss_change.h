#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "statistics/bootstrap.h"
#include "statistics/resampling.h"

namespace toplens {

/// NLL(M) of theory.md (31): the mean over documents of their mean token NLL.
double mean_nll(std::span<const double> document_nll);

/// theory.md (31). Both hold one NLL for each document, in the same order; the untreated mean is
/// above 0.
double relative_change(std::span<const double> treated, std::span<const double> untreated);

/// Bootstrap intervals over documents. A document keeps its treated and untreated losses together.
class LossBootstrap {
 public:
  /// 95% intervals of 2000 resamples.
  LossBootstrap(std::size_t documents, std::uint64_t seed);

  /// Of relative_change(); none for a single document.
  std::optional<Interval> change_interval(std::span<const double> treated,
                                          std::span<const double> untreated) const;

  /// Of N*_tau (theory.md (32)), conditional on the evaluated sizes: in each resample the smallest
  /// of them within the tolerance, num_visible where none is. Rounded outwards. None for a single
  /// document.
  std::optional<Interval> needed_size_interval(
      const std::map<int, std::span<const double>>& evaluated, std::span<const double> untreated,
      int num_visible, double tolerance) const;

 private:
  Resampling draws_;
};

}  // namespace toplens
