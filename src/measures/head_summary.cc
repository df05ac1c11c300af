#include "measures/head_summary.h"

#include <cmath>
#include <limits>
#include <map>
#include <span>

#include "statistics/bootstrap.h"
#include "statistics/moments.h"

namespace toplens {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Draws by the number of documents, shared by all means over as many. For one worker.
class DocumentBootstrap {
 public:
  explicit DocumentBootstrap(const SummaryStatistics& statistics) : statistics_(statistics) {}

  BootstrapMeans& of(std::size_t documents) {
    const auto [found, unused] = by_count_.try_emplace(documents, documents, statistics_.resamples,
                                                       statistics_.level, statistics_.seed);
    return found->second;
  }

  MeanEstimate estimate(std::span<const double> values) {
    MeanEstimate estimate{kNan, kNan, kNan, static_cast<std::int64_t>(values.size())};
    if (values.empty()) return estimate;
    estimate.mean = mean(values);
    if (const auto interval = of(values.size()).interval(values)) {
      estimate.low = interval->low;
      estimate.high = interval->high;
    }
    return estimate;
  }

 private:
  SummaryStatistics statistics_;
  std::map<std::size_t, BootstrapMeans> by_count_;
};

template <typename Value>
std::vector<double> defined_values(std::size_t documents, const Value& value) {
  std::vector<double> values;
  for (std::size_t document = 0; document < documents; ++document) {
    const double found = value(document);
    if (!std::isnan(found)) values.push_back(found);
  }
  return values;
}

/// One head under one setting.
class HeadOfSetting {
 public:
  HeadOfSetting(const MeasureView& records, std::size_t setting, std::size_t layer,
                std::size_t head)
      : records_(records), setting_(setting), layer_(layer), head_(head) {
    const std::vector<double> norms = all(Measure::mean_value_norm);
    mean_norm_ = norms.empty() ? kNan : mean(norms);
  }

  double at(std::size_t document, Measure measure) const {
    return records_.measure(document, setting_, layer_, head_, measure);
  }
  std::vector<double> all(Measure measure) const {
    return defined_values(records_.shape.documents,
                          [&](std::size_t document) { return at(document, measure); });
  }
  /// |sum a_i v_i| / c with c pooled over the documents.
  std::vector<double> output_ratios() const {
    if (!(mean_norm_ > 0.0)) return {};
    std::vector<double> ratios = all(Measure::head_output_norm);
    for (double& ratio : ratios) ratio /= mean_norm_;
    return ratios;
  }

  HeadRegime regime(const RegimeThresholds& thresholds, DocumentBootstrap& bootstrap,
                    SignatureMeans& means) const {
    HeadRegime result;
    result.stability = kNan;
    std::array<std::vector<double>, kFeatures> features;
    std::array<std::int64_t, kSignatureReasons.size()> reasons{};
    for (std::size_t document = 0; document < records_.shape.documents; ++document) {
      const SignatureReason reason = records_.reason(document, setting_, layer_, head_);
      ++reasons[static_cast<std::size_t>(reason)];
      if (reason != SignatureReason::defined) continue;
      features[0].push_back(at(document, Measure::sink_mass));
      features[1].push_back(at(document, Measure::final_mass));
      features[2].push_back(at(document, Measure::log_effective_number));
      features[3].push_back(at(document, Measure::separability));
      features[4].push_back(at(document, Measure::head_output_norm) / mean_norm_);
    }
    result.documents = static_cast<std::int64_t>(features[0].size());
    if (features[0].empty()) {
      std::int64_t most = 0;
      for (std::size_t reason = 1; reason < reasons.size(); ++reason) {
        if (reasons[reason] <= most) continue;
        most = reasons[reason];
        result.reason = static_cast<SignatureReason>(reason);
      }
      result.label.margin = kNan;
      means = {kNan, kNan, kNan, kNan, kNan};
      return result;
    }
    means = {mean(features[0]), mean(features[1]), mean(features[2]), mean(features[3]),
             mean(features[4])};
    result.label = classify(means, thresholds);
    if (features[0].size() < 2) return result;
    std::array<std::vector<double>, kFeatures> resampled;
    for (std::size_t f = 0; f < kFeatures; ++f) {
      const auto drawn = bootstrap.of(features[f].size()).resampled_means(features[f]);
      resampled[f].assign(drawn.begin(), drawn.end());
    }
    std::size_t same = 0;
    for (std::size_t r = 0; r < resampled[0].size(); ++r) {
      const RegimeLabel label = classify(
          {resampled[0][r], resampled[1][r], resampled[2][r], resampled[3][r], resampled[4][r]},
          thresholds);
      same += label.regime == result.label.regime ? 1 : 0;
    }
    result.stability = static_cast<double>(same) / static_cast<double>(resampled[0].size());
    return result;
  }

 private:
  static constexpr std::size_t kFeatures = 5;

  const MeasureView& records_;
  std::size_t setting_, layer_, head_;
  double mean_norm_ = kNan;
};

HeadSummary summarize(const MeasureView& records, std::size_t layer, std::size_t head,
                      const RegimeThresholds& thresholds, DocumentBootstrap& bootstrap) {
  HeadSummary summary;
  const MeasuredShape& shape = records.shape;
  for (std::size_t setting = 0; setting < shape.settings.size(); ++setting) {
    SignatureMeans means;
    summary.regimes.push_back(
        HeadOfSetting(records, setting, layer, head).regime(thresholds, bootstrap, means));
    if (setting == 0) summary.means = means;
  }
  const HeadOfSetting main(records, 0, layer, head);
  for (std::size_t m = 0; m < kNumMeasures; ++m) {
    summary.measures[m] = bootstrap.estimate(main.all(kMeasures[m].measure));
  }
  summary.output_ratio = bootstrap.estimate(main.output_ratios());
  summary.by_size.resize(shape.set_sizes.size());
  for (std::size_t n = 0; n < shape.set_sizes.size(); ++n) {
    for (const SizeMeasureRow& row : kSizeMeasures) {
      summary.by_size[n][index_of(row.measure)] =
          bootstrap.estimate(defined_values(shape.documents, [&](std::size_t document) {
            return records.size_measure(document, 0, layer, head, n, row.measure);
          }));
    }
  }
  for (std::size_t d = 0; d < kNumDetectors; ++d) {
    summary.detectors[d] =
        bootstrap.estimate(defined_values(shape.documents, [&](std::size_t document) {
          return records.detector(document, layer, head, static_cast<Detector>(d));
        }));
  }
  return summary;
}

}  // namespace

std::vector<HeadSummary> summarize_heads(const MeasureView& records,
                                         const RegimeThresholds& thresholds,
                                         const SummaryStatistics& statistics, ThreadPool& pool) {
  const MeasuredShape& shape = records.shape;
  std::vector<HeadSummary> heads(shape.layers * shape.heads);
  std::vector<DocumentBootstrap> bootstraps(static_cast<std::size_t>(pool.size()),
                                            DocumentBootstrap(statistics));
  pool.parallel_for(heads.size(), [&](std::size_t row, int worker) {
    heads[row] = summarize(records, row / shape.heads, row % shape.heads, thresholds,
                           bootstraps[static_cast<std::size_t>(worker)]);
  });
  return heads;
}

std::vector<SettingAgreement> compare_settings(const std::vector<HeadSummary>& heads) {
  std::vector<SettingAgreement> pairs;
  const std::size_t settings = heads.empty() ? 0 : heads.front().regimes.size();
  for (std::size_t a = 0; a < settings; ++a) {
    for (std::size_t b = a + 1; b < settings; ++b) {
      SettingAgreement pair{a, b, 0, 0};
      for (const HeadSummary& head : heads) {
        const Regime first = head.regimes[a].label.regime, second = head.regimes[b].label.regime;
        if (first == Regime::undefined || second == Regime::undefined) continue;
        ++pair.heads;
        pair.same += first == second ? 1 : 0;
      }
      pairs.push_back(pair);
    }
  }
  return pairs;
}

}  // namespace toplens
