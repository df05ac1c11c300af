#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "measures/measure_records.h"
#include "measures/regime.h"
#include "parallel/thread_pool.h"

namespace toplens {

/// A mean over documents with its percentile bootstrap interval; NaN where no document defines it,
/// without interval where only one does.
struct MeanEstimate {
  double mean = 0.0;
  double low = 0.0;
  double high = 0.0;
  std::int64_t documents = 0;
};

/// theory.md 8 for one head under one setting.
struct HeadRegime {
  RegimeLabel label;
  SignatureReason reason = SignatureReason::defined;  ///< of Undefined
  std::int64_t documents = 0;  ///< with a signature; they alone decide about the label
  double stability = 0.0;      ///< share of resamples with this label; NaN below two documents
};

struct HeadSummary {
  std::vector<HeadRegime> regimes;  ///< of every setting
  SignatureMeans means;             ///< behind the first of them
  // Of the first setting:
  /// Mean of the logarithms for log_effective_number: the exponential of it is the geometric mean.
  std::array<MeanEstimate, kNumMeasures> measures{};
  MeanEstimate output_ratio;
  std::vector<std::array<MeanEstimate, kNumSizeMeasures>> by_size;
  std::array<MeanEstimate, kNumDetectors> detectors{};

  const MeanEstimate& operator[](Measure measure) const { return measures[index_of(measure)]; }
  const HeadRegime& regime() const { return regimes.front(); }
};

struct SummaryStatistics {
  std::size_t resamples = 2000;
  double level = 0.95;
  std::uint64_t seed = 2027;
};

/// All heads, [layer][head] in one row.
std::vector<HeadSummary> summarize_heads(const MeasureView& records,
                                         const RegimeThresholds& thresholds,
                                         const SummaryStatistics& statistics, ThreadPool& pool);

/// How often two settings give the same label, over the heads that are defined under both.
struct SettingAgreement {
  std::size_t first = 0, second = 0;  ///< settings
  std::int64_t heads = 0;
  std::int64_t same = 0;
};
/// Every pair of settings.
std::vector<SettingAgreement> compare_settings(const std::vector<HeadSummary>& heads);

}  // namespace toplens
