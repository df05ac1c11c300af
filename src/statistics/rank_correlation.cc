#include "statistics/rank_correlation.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/random.h"
#include "statistics/quantile.h"

namespace toplens {

namespace {

/// One variable sorted once: each observation's group of equal values, groups in increasing order.
/// Mid-ranks of any resample then take one pass.
class RankedVariable {
 public:
  explicit RankedVariable(std::span<const double> values) : group_(values.size()) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    for (std::size_t k = 0; k < order.size(); ++k) {
      if (k > 0 && values[order[k]] != values[order[k - 1]]) ++groups_;
      group_[order[k]] = groups_;
    }
    ++groups_;
    ranks_.resize(groups_);
  }

  /// Mid-ranks where observation i occurs counts[i] times; centred[i] is minus the mean rank.
  void rank(std::span<const double> counts, std::vector<double>& centred) {
    std::fill(ranks_.begin(), ranks_.end(), 0.0);
    for (std::size_t i = 0; i < group_.size(); ++i) ranks_[group_[i]] += counts[i];
    double before = 0.0;
    for (double& rank : ranks_) {
      const double size = rank;
      rank = before + 0.5 * (size + 1.0);
      before += size;
    }
    const double mean = 0.5 * (before + 1.0);
    centred.resize(group_.size());
    for (std::size_t i = 0; i < group_.size(); ++i) centred[i] = ranks_[group_[i]] - mean;
  }

 private:
  std::vector<std::size_t> group_;
  std::size_t groups_ = 0;
  std::vector<double> ranks_;
};

std::optional<double> pearson(std::span<const double> counts, std::span<const double> x,
                              std::span<const double> y) {
  double xx = 0.0, yy = 0.0, xy = 0.0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    xx += counts[i] * x[i] * x[i];
    yy += counts[i] * y[i] * y[i];
    xy += counts[i] * x[i] * y[i];
  }
  if (xx <= 0.0 || yy <= 0.0) return std::nullopt;
  return std::clamp(xy / std::sqrt(xx * yy), -1.0, 1.0);
}

class Estimator {
 public:
  Estimator(std::span<const double> x, std::span<const double> y, std::span<const double> control)
      : x_(x), y_(y) {
    if (!control.empty()) control_.emplace(control);
  }

  std::optional<double> operator()(std::span<const double> counts) {
    x_.rank(counts, x_ranks_);
    y_.rank(counts, y_ranks_);
    const std::optional<double> xy = pearson(counts, x_ranks_, y_ranks_);
    if (!control_ || !xy) return xy;
    control_->rank(counts, control_ranks_);
    const std::optional<double> xc = pearson(counts, x_ranks_, control_ranks_);
    const std::optional<double> yc = pearson(counts, y_ranks_, control_ranks_);
    if (!xc || !yc) return xy;  // a constant control explains nothing
    const double left = (1.0 - *xc * *xc) * (1.0 - *yc * *yc);
    if (left < 1e-12) return std::nullopt;  // the control explains everything
    return std::clamp((*xy - *xc * *yc) / std::sqrt(left), -1.0, 1.0);
  }

 private:
  RankedVariable x_, y_;
  std::optional<RankedVariable> control_;
  std::vector<double> x_ranks_, y_ranks_, control_ranks_;
};

RankCorrelation correlate(std::span<const double> x, std::span<const double> y,
                          std::span<const double> control, const RankCorrelationOptions& options) {
  assert(x.size() == y.size() && (control.empty() || control.size() == x.size()));
  RankCorrelation result;
  result.observations = x.size();
  if (x.size() < 3) return result;
  Estimator estimator(x, y, control);
  std::vector<double> counts(x.size(), 1.0);
  result.value = estimator(counts);
  if (!result.value) return result;
  Random random(options.seed, {x.size(), options.resamples});
  std::vector<double> resampled;
  for (std::size_t r = 0; r < options.resamples; ++r) {
    std::fill(counts.begin(), counts.end(), 0.0);
    for (std::size_t k = 0; k < x.size(); ++k) counts[random.below(x.size())] += 1.0;
    if (const std::optional<double> value = estimator(counts)) resampled.push_back(*value);
  }
  if (resampled.empty() ||
      static_cast<double>(resampled.size()) < 0.95 * static_cast<double>(options.resamples)) {
    return result;
  }
  result.interval = central_interval(resampled, options.level);
  return result;
}

}  // namespace

RankCorrelation spearman(std::span<const double> x, std::span<const double> y,
                         const RankCorrelationOptions& options) {
  return correlate(x, y, {}, options);
}

RankCorrelation partial_spearman(std::span<const double> x, std::span<const double> y,
                                 std::span<const double> control,
                                 const RankCorrelationOptions& options) {
  return correlate(x, y, control, options);
}

}  // namespace toplens
