#include "results/profiles_dataset.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

#include "statistics/moments.h"

namespace toplens {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr std::size_t kAlone = 16;

/// Appends the edges of [begin, end) in at most `most` equal bins, without `end`.
void append_equal(std::vector<std::size_t>& edges, std::size_t begin, std::size_t end,
                  std::size_t most) {
  const std::size_t count = std::min(most, end - begin);
  for (std::size_t i = 0; i < count; ++i) edges.push_back(begin + i * (end - begin) / count);
}

std::vector<double> centres(const Bins& bins) {
  std::vector<double> labels;
  for (std::size_t i = 0; i < bins.size(); ++i) {
    labels.push_back(0.5 * static_cast<double>(bins.edges[i] + bins.edges[i + 1] - 1));
  }
  return labels;
}

void add_bins(Dataset& dataset, const std::string& name, const Bins& bins,
              std::string_view long_name) {
  dataset.add_coordinate(name, centres(bins), describe("tokens", long_name));
  dataset.add_variable(
      name + "_begin", {name},
      std::vector<std::int64_t>(bins.edges.begin(), bins.edges.begin() + bins.size()),
      describe("tokens", "first of the bin"));
  dataset.add_variable(name + "_end", {name},
                       std::vector<std::int64_t>(bins.edges.begin() + 1, bins.edges.end()),
                       describe("tokens", "one behind the last of the bin"));
}

std::vector<std::int32_t> count_from_zero(std::size_t count) {
  std::vector<std::int32_t> labels(count);
  std::iota(labels.begin(), labels.end(), 0);
  return labels;
}

Attributes nan_means(Attributes attributes, std::string_view reason) {
  attributes["reason"] = std::string(reason);
  return attributes;
}

}  // namespace

Bins position_bins(std::size_t length) {
  Bins bins;
  if (length == 0) return bins;
  bins.edges.push_back(0);
  const std::size_t tail = std::min(kAlone, length - 1);
  append_equal(bins.edges, 1, length - tail, Bins::kMost - 1 - tail);
  append_equal(bins.edges, length - tail, length, tail);
  bins.edges.push_back(length);
  return bins;
}

Bins lag_bins(std::size_t lags) {
  Bins bins;
  if (lags == 0) return bins;
  const std::size_t near = std::min(kAlone, lags);
  append_equal(bins.edges, 1, near + 1, near);
  append_equal(bins.edges, near + 1, lags + 1, Bins::kMost - near);
  bins.edges.push_back(lags + 1);
  return bins;
}

ProfilesBuilder::ProfilesBuilder(std::size_t layers, ShownDocument document)
    : layers_(layers), document_(std::move(document)) {}

template <typename Value>
void ProfilesBuilder::BinnedCurve::append(const Bins& bins, std::size_t documents,
                                          const Value& value) {
  std::vector<double> means;
  for (std::size_t bin = 0; bin < bins.size(); ++bin) {
    means.clear();
    for (std::size_t d = 0; d < documents; ++d) {
      double sum = 0.0;
      std::size_t count = 0;
      for (std::size_t i = bins.edges[bin]; i < bins.edges[bin + 1]; ++i) {
        const double x = value(d, i);
        if (std::isnan(x)) continue;
        sum += x;
        ++count;
      }
      if (count > 0) means.push_back(sum / static_cast<double>(count));
    }
    mean.push_back(means.empty() ? kNan : static_cast<float>(toplens::mean(means)));
    between.push_back(static_cast<float>(standard_deviation(means)));
  }
}

void ProfilesBuilder::BinnedCurve::add_to(Dataset& dataset, const std::string& name,
                                          std::vector<std::string> dimensions,
                                          std::string_view units,
                                          const std::string& long_name) const {
  constexpr std::string_view kAbsent = "NaN: no visible token of positive norm or weight there";
  dataset.add_variable(name, dimensions, mean,
                       nan_means(describe(units, long_name + ", mean over documents"), kAbsent));
  dataset.add_variable(name + "_between", std::move(dimensions), between,
                       nan_means(describe(units, "standard deviation between documents of " + name),
                                 "NaN: fewer than two documents have it"));
}

void ProfilesBuilder::add_layer(const AssumptionView& records, std::span<const HeadFit> fits) {
  assert(records.shape.layers == 1 && fits.size() == records.shape.heads);
  assert(document_.tokens.size() == records.shape.layout.length && records.shape.documents > 0);
  if (token_weights_.empty()) {
    shape_ = records.shape;
    positions_ = position_bins(shape_.layout.length);
    lags_ = lag_bins(AssumptionLayout::lags(shape_.layout.length));
  }
  add_values(records, fits);
  add_weights(records, fits);
}

void ProfilesBuilder::add_values(const AssumptionView& records, std::span<const HeadFit> fits) {
  const std::size_t first = records.first_token(0);
  for (std::size_t kv_head = 0; kv_head < shape_.kv_heads; ++kv_head) {
    norms_.append(positions_, shape_.documents, [&](std::size_t d, std::size_t i) {
      return i < first ? kNan : records.norms_of(d, 0, kv_head)[i - first];
    });
    similarities_.append(lags_, shape_.documents, [&](std::size_t d, std::size_t lag) {
      const std::span<const float> cosines = records.lag_cosines_of(d, 0, kv_head);
      return lag <= cosines.size() ? cosines[lag - 1] : kNan;
    });
    const SimilarityFit& fit = fits[kv_head * (shape_.heads / shape_.kv_heads)].values.similarity;
    for (std::size_t bin = 0; bin < lags_.size(); ++bin) {
      double sum = 0.0;
      for (std::size_t lag = lags_.edges[bin]; lag < lags_.edges[bin + 1]; ++lag) {
        sum += fit.similarity(static_cast<double>(lag));
      }
      const auto width = static_cast<double>(lags_.edges[bin + 1] - lags_.edges[bin]);
      similarity_fits_.push_back(
          fit.reason == FitReason::estimated ? static_cast<float>(sum / width) : kNan);
    }
  }
}

void ProfilesBuilder::add_weights(const AssumptionView& records, std::span<const HeadFit> fits) {
  const std::size_t first = records.first_token(0);
  for (std::size_t head = 0; head < shape_.heads; ++head) {
    const auto weight = [&](std::size_t d, std::size_t i) {
      return i < first ? kNan : records.weights_of(d, 0, head)[i - first];
    };
    weights_.append(positions_, shape_.documents, weight);
    log_weights_.append(positions_, shape_.documents, [&](std::size_t d, std::size_t i) {
      const float a = weight(d, i);
      return a > 0.0f ? std::log(a) : kNan;
    });
    const std::optional<AttentionProfile>& profile = fits[head].profile.profile;
    for (std::size_t bin = 0; bin < positions_.size(); ++bin) {
      double sum = 0.0, count = 0.0;
      for (std::size_t i = std::max(first, positions_.edges[bin]); i < positions_.edges[bin + 1];
           ++i) {
        if (profile) sum += profile->log_weight(static_cast<int>(i - first));
        ++count;
      }
      log_weight_fits_.push_back(profile && count > 0 ? static_cast<float>(sum / count) : kNan);
    }
    const std::span<const float> visible = records.weights_of(0, 0, head);
    token_weights_.insert(token_weights_.end(), first, 0.0f);
    token_weights_.insert(token_weights_.end(), visible.begin(), visible.end());
  }
}

Dataset ProfilesBuilder::dataset() const {
  Dataset dataset;
  dataset.attributes()["documents"] = static_cast<std::int64_t>(shape_.documents);
  dataset.attributes()["shown_document"] = document_.label;
  dataset.add_coordinate("layer", count_from_zero(layers_),
                         {{"long_name", "layer, counted from 0"}});
  dataset.add_coordinate("head", count_from_zero(shape_.heads),
                         {{"long_name", "query head, counted from 0"}});
  dataset.add_coordinate("kv_head", count_from_zero(shape_.kv_heads),
                         {{"long_name", "key-value head"}});
  add_bins(dataset, "position", positions_, "position in the document, centre of the bin");
  norms_.add_to(dataset, "value_norm", {"layer", "kv_head", "position"}, "1",
                "norm of the value vectors");
  const std::vector<std::string> by_position = {"layer", "head", "position"};
  weights_.add_to(dataset, "attention", by_position, "1",
                  "attention weight of the final query on one token");
  log_weights_.add_to(dataset, "log_attention", by_position, "1",
                      "natural logarithm of the attention weight, weights of 0 left out");
  dataset.add_variable("log_attention_fit", by_position, log_weight_fits_,
                       nan_means(describe("1", "profile as fitted (theory.md (12))"),
                                 "heads.nc: profile_reason; or no visible token there"));
  if (lags_.size() > 0) {
    const std::vector<std::string> by_lag = {"layer", "kv_head", "lag"};
    add_bins(dataset, "lag", lags_, "distance of two tokens, centre of the bin");
    similarities_.add_to(dataset, "similarity", by_lag, "1",
                         "mean cosine of the values of two tokens so far apart, without token 0");
    dataset.add_variable(
        "similarity_fit", by_lag, similarity_fits_,
        nan_means(describe("1", "phi(k) = b + A exp(-k / lambda) as fitted (theory.md (10))"),
                  "heads.nc: similarity_reason"));
  }
  dataset.add_coordinate("token", count_from_zero(document_.tokens.size()),
                         {{"long_name", "position in the shown document"}});
  dataset.add_variable("token_text", {"token"}, document_.tokens,
                       {{"long_name", "text of the token"}});
  dataset.add_variable(
      "token_attention", {"layer", "head", "token"}, token_weights_,
      describe("1", "attention of the final query on the shown document, 0 where not visible"));
  return dataset;
}

}  // namespace toplens
