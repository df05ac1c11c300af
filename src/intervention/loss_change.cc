#include "intervention/loss_change.h"

#include <cassert>
#include <cmath>
#include <numeric>

namespace toplens {
namespace {

/// theory.md (31) of a resample.
double resampled_change(std::span<const double> counts, std::span<const double> treated,
                        std::span<const double> untreated) {
  double difference = 0, base = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    difference += counts[i] * (treated[i] - untreated[i]);
    base += counts[i] * untreated[i];
  }
  return difference / base;
}

}  // namespace

double mean_nll(std::span<const double> document_nll) {
  return std::accumulate(document_nll.begin(), document_nll.end(), 0.0) /
         static_cast<double>(document_nll.size());
}

double relative_change(std::span<const double> treated, std::span<const double> untreated) {
  assert(treated.size() == untreated.size());
  const double base = mean_nll(untreated);
  return (mean_nll(treated) - base) / base;
}

LossBootstrap::LossBootstrap(std::size_t documents, std::uint64_t seed)
    : draws_(documents, 2000, seed) {}

std::optional<Interval> LossBootstrap::change_interval(std::span<const double> treated,
                                                       std::span<const double> untreated) const {
  if (draws_.observations() == 1) return std::nullopt;
  std::vector<double> changes(draws_.resamples());
  for (std::size_t r = 0; r < changes.size(); ++r) {
    changes[r] = resampled_change(draws_.counts(r), treated, untreated);
  }
  return percentile_interval(std::move(changes));
}

std::optional<Interval> LossBootstrap::needed_size_interval(
    const std::map<int, std::span<const double>>& evaluated, std::span<const double> untreated,
    int num_visible, double tolerance) const {
  if (draws_.observations() == 1) return std::nullopt;
  std::vector<double> needed(draws_.resamples(), num_visible);
  for (std::size_t r = 0; r < needed.size(); ++r) {
    for (const auto& [set_size, treated] : evaluated) {
      if (resampled_change(draws_.counts(r), treated, untreated) > tolerance) continue;
      needed[r] = set_size;
      break;
    }
  }
  const Interval interval = percentile_interval(std::move(needed));
  return Interval{std::floor(interval.low), std::ceil(interval.high)};  // sizes are whole numbers
}

}  // namespace toplens
